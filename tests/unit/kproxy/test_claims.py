from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from kapi.network import Protocol, Reference
from kproxy.claims import Claims
from kproxy.model import Duties, Frontend, Kind, Place

SHARED = Place(4, ip_address("203.0.113.1"), Protocol.TCP, 80)
OWN = Place(4, ip_address("10.96.0.1"), Protocol.TCP, 80)


def duties(name: str, *places: Place, created: str = "2026-01-01", kind: Kind = Kind.EXTERNAL_IP) -> Duties:
    frontends = tuple(Frontend(place, kind, f"default/{name}:http", ()) for place in places)
    return Duties(f"default/{name}", Reference("Service", "default", name), frontends, rank=f"{created} {name}")


def places(owed: Duties) -> set[Place]:
    return {frontend.place for frontend in owed.frontends}


def test_a_place_nobody_else_asks_for_is_had() -> None:
    assert places(Claims().settle(duties("a", SHARED, OWN)).duties) == {SHARED, OWN}


def test_the_younger_service_keeps_everything_but_the_contested_place() -> None:
    claims = Claims()
    claims.settle(duties("old", SHARED))
    settled = claims.settle(duties("young", SHARED, OWN, created="2027"))
    assert places(settled.duties) == {OWN}
    assert "default/old" in settled.duties.problems[0].message
    assert not settled.touched


def test_an_elder_that_comes_later_takes_the_place_over() -> None:
    claims = Claims()
    claims.settle(duties("young", SHARED, created="2027"))
    settled = claims.settle(duties("old", SHARED))
    assert places(settled.duties) == {SHARED}
    assert settled.touched == {"default/young"}
    assert not places(claims.settle(duties("young", SHARED, created="2027")).duties)


def test_the_place_passes_on_when_the_elder_lets_go() -> None:
    claims = Claims()
    claims.settle(duties("old", SHARED))
    claims.settle(duties("young", SHARED, created="2027"))
    assert claims.settle(duties("old")).touched == {"default/young"}
    assert places(claims.settle(duties("young", SHARED, created="2027")).duties) == {SHARED}


def test_a_loser_that_goes_changes_nothing_for_the_elder() -> None:
    claims = Claims()
    claims.settle(duties("old", SHARED))
    claims.settle(duties("young", SHARED, created="2027"))
    assert not claims.settle(duties("young")).touched
    assert places(claims.settle(duties("old", SHARED)).duties) == {SHARED}
    assert not claims.settle(duties("old")).touched


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        (Kind.CLUSTER_IP, Kind.EXTERNAL_IP),
        (Kind.CLUSTER_IP, Kind.LOAD_BALANCER),
        (Kind.LOAD_BALANCER, Kind.EXTERNAL_IP),
    ],
)
def test_what_the_cluster_has_given_comes_before_what_an_elder_has_written(strong: Kind, weak: Kind) -> None:
    claims = Claims()
    claims.settle(duties("old", OWN, kind=weak))
    owner = duties("young", OWN, created="2027", kind=strong)
    settled = claims.settle(owner)
    assert places(settled.duties) == {OWN}
    assert settled.touched == {"default/old"}
    refused = claims.settle(duties("old", OWN, SHARED, kind=weak))
    assert places(refused.duties) == {SHARED}
    assert "default/young" in refused.duties.problems[0].message
    assert not refused.touched
    assert places(claims.settle(owner).duties) == {OWN}


def test_a_service_that_asks_for_its_own_clusterip_as_an_externalip_too_keeps_it() -> None:
    claims = Claims()
    claims.settle(duties("old", OWN))
    owner = duties("young", OWN, created="2027", kind=Kind.CLUSTER_IP)
    twice = replace(owner, frontends=(*owner.frontends, *duties("young", OWN).frontends))
    assert places(claims.settle(twice).duties) == {OWN}
    assert claims.settle(duties("young", OWN, created="2027")).touched == {"default/old"}
