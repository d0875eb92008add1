from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import combinations

import pytest

from netnslab import topology
from netnslab.errors import InvalidTopology
from netnslab.topology import POD_NETWORKS


def test_the_default_is_a_control_plane_and_two_workers_in_two_zones() -> None:
    nodes = topology.default().nodes
    assert [(node.name, node.zone) for node in nodes] == [
        ("control-plane", "zone-a"),
        ("worker-1", "zone-a"),
        ("worker-2", "zone-b"),
    ]
    assert [node.control_plane for node in nodes] == [True, False, False]


@pytest.mark.parametrize(
    ("number", "address", "pods"),
    [
        (0, ("172.30.0.10", "fd30::a"), ("10.244.0.0/24", "fd44::/64")),
        (1, ("172.30.0.11", "fd30::b"), ("10.244.1.0/24", "fd44:0:0:1::/64")),
        (12, ("172.30.0.22", "fd30::16"), ("10.244.12.0/24", "fd44:0:0:c::/64")),
    ],
)
def test_a_nodes_addresses_follow_from_its_number(number: int, address: tuple[str, str], pods: tuple[str, str]) -> None:
    node = topology.default(13).nodes[number]
    assert node.addresses.both == tuple(ip_address(text) for text in address)
    assert node.pod_networks == tuple(ip_network(text) for text in pods)


def test_the_pods_of_two_nodes_never_share_an_address() -> None:
    nodes = topology.default(topology.MOST_NODES).nodes
    for one, other in combinations(nodes, 2):
        assert not one.pod_networks[0].overlaps(other.pod_networks[0])
        assert not one.pod_networks[1].overlaps(other.pod_networks[1])
    for node in nodes:
        assert node.pod_networks[0].subnet_of(POD_NETWORKS[0])
        assert node.pod_networks[1].subnet_of(POD_NETWORKS[1])


@pytest.mark.parametrize("nodes", [-1, 0, 201])
def test_a_number_of_nodes_that_does_not_fit_is_refused(nodes: int) -> None:
    with pytest.raises(InvalidTopology, match=f"not {nodes}"):
        topology.default(nodes)


def test_a_node_is_found_by_name() -> None:
    assert topology.default().node("worker-2").number == 2
