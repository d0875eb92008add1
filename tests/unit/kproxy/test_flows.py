from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from kapi.network import Protocol
from kproxy.flows import Flow, Watched, changed
from kproxy.model import Datagrams, Place

DNS = Place(4, ip_address("10.96.0.10"), Protocol.UDP, 53)
ON_NODE = Place(4, None, Protocol.UDP, 30053)
OLD, NEW = ip_address("10.244.1.2"), ip_address("10.244.1.3")
NODE = ip_network("172.30.0.11/32")


def flow(destination: str, port: int, answers_from: str) -> Flow:
    return Flow(ip_address(destination), port, ip_address(answers_from), b"")


@pytest.mark.parametrize(
    ("tracked", "stale"),
    [
        (flow("10.96.0.10", 53, "10.244.1.2"), True),
        (flow("10.96.0.10", 53, "10.244.1.3"), False),
        (flow("10.96.0.10", 53, "10.96.0.10"), True),  # it began before there were rules
        (flow("10.96.0.10", 4789, "10.244.1.2"), False),  # another port of the same address
        (flow("10.96.0.11", 53, "10.244.1.2"), False),
        (flow("172.30.0.11", 30053, "10.244.1.2"), True),
        (flow("172.30.0.11", 30053, "172.30.0.11"), True),
        (flow("172.30.0.12", 30053, "172.30.0.12"), False),  # the same port of another node
    ],
)
def test_a_flow_is_stale_when_nobody_serves_it(tracked: Flow, stale: bool) -> None:
    watched = Watched({DNS: frozenset({NEW}), ON_NODE: frozenset({NEW})}, (NODE,))
    assert watched.is_stale(tracked) is stale


def test_a_place_that_is_no_more_is_looked_at_with_nobody_serving() -> None:
    assert changed([Datagrams(DNS, frozenset({OLD}))], []) == {DNS: frozenset()}


def test_a_place_that_keeps_its_endpoints_is_not_looked_at() -> None:
    same = [Datagrams(DNS, frozenset({OLD}))]
    assert changed(same, same) == {}
