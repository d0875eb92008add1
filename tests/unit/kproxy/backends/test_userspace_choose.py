"""Whose turn it is: round robin, affinity, policies and source ranges."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from kapi.network import Protocol
from kproxy.backends.userspace.choose import Turns, allowed, pool_for
from kproxy.model import Frontend, Kind, LocalTraffic, NodeDuties, Place, Target

POD, OUTSIDE, OWN = (ip_address(text) for text in ("10.244.1.3", "198.51.100.10", "172.30.0.11"))
POOL = tuple(Target(ip_address(f"10.244.1.{n}"), 80) for n in (5, 6, 7))
NODE = NodeDuties(local_traffic=LocalTraffic(networks=(ip_network("10.244.0.0/16"),)))
PLACE = Place(4, ip_address("203.0.113.1"), Protocol.TCP, 80)
LOCAL = Frontend(PLACE, Kind.LOAD_BALANCER, "default/web:http", POOL, POOL[:1])


def test_endpoints_take_turns_at_each_place_by_itself() -> None:
    turns = Turns()
    assert [turns.choose("a", POOL, POD, 0, 0.0) for _ in range(4)] == [*POOL, POOL[0]]
    assert turns.choose("b", POOL, POD, 0, 0.0) == POOL[0]


def test_affinity_holds_for_all_places_and_slides() -> None:
    turns = Turns()
    first = turns.choose("a", POOL, POD, 60, 0.0)
    assert turns.choose("b", POOL, POD, 60, 50.0) == first
    assert turns.choose("a", POOL, POD, 60, 100.0) == first
    assert turns.choose("a", POOL, POD, 60, 170.0) != first


def test_an_endpoint_that_goes_or_fails_binds_nobody() -> None:
    turns = Turns()
    first = turns.choose("a", POOL, POD, 60, 0.0)
    assert turns.choose("a", POOL[1:], POD, 60, 1.0) != first
    failing = Turns()
    assert failing.choose("a", POOL, POD, 60, 2.0) == POOL[0]
    failing.forget(POOL[0])
    assert failing.choose("a", POOL, POD, 60, 3.0) == POOL[1]


def test_pods_and_the_node_pass_by_an_external_policy_of_local() -> None:
    own = frozenset({OWN})
    assert pool_for(LOCAL, POD, NODE, own) == POOL
    assert pool_for(LOCAL, OWN, NODE, own) == POOL
    assert pool_for(LOCAL, OUTSIDE, NODE, own) == POOL[:1]
    assert pool_for(replace(LOCAL, outside=None), OUTSIDE, NODE, own) == POOL


def test_source_ranges_let_in_whom_they_name() -> None:
    guarded = replace(LOCAL, sources=(ip_network("198.51.100.0/24"),))
    assert allowed(guarded, OUTSIDE)
    assert not allowed(guarded, POD)
    assert allowed(LOCAL, POD)
