from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from netnslab import plan, topology
from netnslab.steps import Assign, Attach, Bridge, Route, Step, Sysctl, Veth
from netnslab.topology import Addresses

LAB = topology.default(3)
STEPS = plan.network(LAB).steps


def gateway(steps: tuple[Step, ...], destination: str) -> str:
    """The gateway of a namespace's route to a destination."""
    wanted = ip_network(destination)
    (route,) = (step for step in steps if isinstance(step, Route) and step.destination == wanted)
    return str(route.via[0]) if route.via else route.link


def test_the_router_comes_first_because_it_makes_the_links() -> None:
    assert list(STEPS) == ["router", "control-plane", "worker-1", "worker-2", "client"]
    made = [step.peer_namespace for step in STEPS["router"] if isinstance(step, Veth)]
    assert made == ["control-plane", "worker-1", "worker-2", "client"]


@pytest.mark.parametrize(
    ("namespace", "destination", "via"),
    [
        ("worker-1", "10.244.2.0/24", "172.30.0.12"),
        ("worker-1", "fd44:0:0:2::/64", "fd30::c"),
        ("worker-2", "10.244.0.0/24", "172.30.0.10"),
        ("worker-2", "0.0.0.0/0", "172.30.0.1"),
        ("control-plane", "::/0", "fd30::1"),
        ("router", "10.244.1.0/24", "172.30.0.11"),
        ("router", "fd44:0:0:1::/64", "fd30::b"),
        ("client", "0.0.0.0/0", "198.51.100.1"),
        ("client", "::/0", "2001:db8:c::1"),
    ],
)
def test_every_namespace_knows_the_way(namespace: str, destination: str, via: str) -> None:
    assert gateway(STEPS[namespace], destination) == via


@pytest.mark.parametrize("namespace", ["router", "control-plane", "worker-1", "worker-2"])
def test_router_and_nodes_forward_and_filter_no_source(namespace: str) -> None:
    set_to = {step.name: step.value for step in STEPS[namespace] if isinstance(step, Sysctl)}
    assert set_to["net/ipv4/ip_forward"] == "1"
    assert set_to["net/ipv6/conf/all/forwarding"] == "1"
    assert set_to["net/ipv4/conf/all/rp_filter"] == "0"


@pytest.mark.parametrize("namespace", ["control-plane", "worker-1", "worker-2"])
def test_nodes_hold_no_icmp_error_back(namespace: str) -> None:
    set_to = {step.name: step.value for step in STEPS[namespace] if isinstance(step, Sysctl)}
    assert set_to["net/ipv4/icmp_ratelimit"] == "0"
    assert set_to["net/ipv6/icmp/ratelimit"] == "0"


def test_the_client_forwards_nothing() -> None:
    assert not [step for step in STEPS["client"] if isinstance(step, Sysctl) and "forward" in step.name]


def test_a_node_has_a_bridge_for_its_pods_with_a_fixed_mac_address() -> None:
    (bridge,) = (step for step in STEPS["worker-1"] if isinstance(step, Bridge))
    assert bridge == Bridge("cbr0", bytes.fromhex("0a580af40101"))
    assert Assign("cbr0", ip_interface("10.244.1.1/24")) in STEPS["worker-1"]
    assert Assign("cbr0", ip_interface("fd44:0:0:1::1/64")) in STEPS["worker-1"]


def test_a_pod_has_host_addresses_and_one_way_out() -> None:
    node = LAB.nodes[1]
    steps = plan.pod(node, Addresses.at(node.pod_networks, 7))
    assert steps.node == (Veth("pod7", "pod", "eth0"), Attach("pod7", "cbr0", isolated=True))
    assert steps.pod[:2] == (
        Assign("eth0", ip_interface("10.244.1.7/32")),
        Assign("eth0", ip_interface("fd44:0:0:1::7/128")),
    )
    assert gateway(steps.pod, "10.244.1.1/32") == "eth0"
    assert gateway(steps.pod, "0.0.0.0/0") == "10.244.1.1"
    assert gateway(steps.pod, "::/0") == "fd44:0:0:1::1"


@pytest.mark.parametrize(
    ("address", "gateways"),
    [("203.0.113.1", ("172.30.0.11", "172.30.0.12")), ("2001:db8:1b::1", ("fd30::b", "fd30::c"))],
)
def test_a_load_balancers_address_goes_to_all_its_nodes(address: str, gateways: tuple[str, str]) -> None:
    route = plan.load_balancer_route(ip_address(address), LAB.nodes[1:])
    assert route.via == tuple(ip_address(text) for text in gateways)
    assert route.destination.num_addresses == 1
    assert route.replace


def test_no_address_is_given_twice() -> None:
    given = [step.address.ip for steps in STEPS.values() for step in steps if isinstance(step, Assign)]
    assert len(given) == len(set(given))
