from __future__ import annotations

from ipaddress import ip_address

import pytest

from kapi.network import (
    Endpoint,
    EndpointSlice,
    LoadBalancerAddress,
    Node,
    Service,
    ServiceType,
    TrafficPolicy,
)
from netnslab.routes import desired

ADDRESS = ip_address("203.0.113.1")
NODES = (Node("one", ""), Node("two", ""), Node("down", "", ready=False))


def service(policy: TrafficPolicy = TrafficPolicy.CLUSTER, kind: ServiceType = ServiceType.LOAD_BALANCER) -> Service:
    return Service(
        "d", "web", "", kind, False, (), (), load_balancer=(LoadBalancerAddress(ADDRESS),), external_policy=policy
    )


def slice_on(*places: tuple[str, bool]) -> EndpointSlice:
    endpoints = tuple(Endpoint((ip_address("10.244.1.5"),), ready=ready, node_name=node) for node, ready in places)
    return EndpointSlice("d", "web-x", "", "web", 4, endpoints, ())


@pytest.mark.parametrize(
    ("one", "slices", "gateways"),
    [
        (service(), (), ("one", "two")),
        (service(), (slice_on(("two", True)),), ("one", "two")),
        (service(TrafficPolicy.LOCAL), (slice_on(("two", True)),), ("two",)),
        (service(TrafficPolicy.LOCAL), (slice_on(("one", False), ("two", True)),), ("two",)),
        (service(TrafficPolicy.LOCAL), (slice_on(("down", True)),), None),
        (service(TrafficPolicy.LOCAL), (), None),
        (service(kind=ServiceType.CLUSTER_IP), (), None),
    ],
)
def test_an_address_goes_to_the_nodes_that_can_serve_it(
    one: Service, slices: tuple[EndpointSlice, ...], gateways: tuple[str, ...] | None
) -> None:
    assert desired([one], slices, NODES) == ({} if gateways is None else {ADDRESS: gateways})
