"""Which load-balancer address a Service gets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from netnslab.workloads.addresses import assign, balanced

POOLS = (ip_network("203.0.113.0/29"), ip_network("2001:db8::/64"))
FIRST, SECOND = ip_address("203.0.113.1"), ip_address("203.0.113.2")


def service(present: str = "", **spec: Any) -> Any:
    ingress = [{"ip": present}] if present else []
    given = {"type": "LoadBalancer", "ipFamilies": ["IPv4"]}
    meta = {"name": "web", "namespace": "default", "uid": "u"}
    return balanced({"metadata": meta, "spec": given | spec, "status": {"loadBalancer": {"ingress": ingress}}})


@pytest.mark.parametrize(
    ("one", "taken", "expected"),
    [
        (service(), {}, ["203.0.113.1"]),
        (service(), {FIRST: "default/other"}, ["203.0.113.2"]),
        (service("203.0.113.5"), {}, ["203.0.113.5"]),
        (service("203.0.113.5"), {ip_address("203.0.113.5"): "default/other"}, ["203.0.113.1"]),
        (service("198.51.100.1"), {}, ["203.0.113.1"]),
        (service(loadBalancerIP="203.0.113.6"), {}, ["203.0.113.6"]),
        (service("203.0.113.5", loadBalancerIP="203.0.113.6"), {}, ["203.0.113.6"]),
        (service(ipFamilies=["IPv6"]), {}, ["2001:db8::1"]),
        (service(ipFamilies=["IPv4", "IPv6"]), {}, ["203.0.113.1", "2001:db8::1"]),
        (service("203.0.113.5", type="ClusterIP"), {}, []),
    ],
    ids=[
        "the lowest",
        "the lowest free",
        "the one it has",
        "the one it has belongs to another",
        "the one it has is in no pool",
        "the one it asks for",
        "what it asks for comes before what it has",
        "IPv6",
        "both families",
        "not a load balancer",
    ],
)
def test_a_service_gets_an_address_of_each_family(one: Any, taken: Any, expected: list[str]) -> None:
    found = assign(one, taken, POOLS)
    assert ([str(ip) for ip in found.addresses], found.problem) == (expected, "")


@pytest.mark.parametrize(
    ("one", "taken", "why"),
    [
        (service(), dict.fromkeys(POOLS[0].hosts(), "default/other"), "no address is free in 203.0.113.0/29"),
        (service(loadBalancerIP="203.0.113.1"), {FIRST: "default/other"}, "203.0.113.1 is default/other's"),
        (service(loadBalancerIP="192.0.2.1"), {}, "192.0.2.1 is not in a pool (203.0.113.0/29)"),
        (service(loadBalancerIP="nonsense"), {}, "'nonsense' is not an address"),
    ],
    ids=["exhausted", "taken", "outside", "no address"],
)
def test_what_cannot_be_given_is_explained(one: Any, taken: Any, why: str) -> None:
    found = assign(one, taken, POOLS)
    assert found.addresses == ()
    assert why in found.problem


def test_a_family_without_a_pool_is_explained() -> None:
    assert "families" in assign(service(ipFamilies=["IPv6"]), {}, POOLS[:1]).problem


def test_a_part_of_the_status_that_cannot_be_read_is_passed_over() -> None:
    obj = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": {"type": "LoadBalancer"}}
    parts = [{"ip": "no address"}, {"ip": "203.0.113.9"}, {"ip": 7.5}, {"hostname": "lb.test"}, "x"]
    present = balanced({**obj, "status": {"loadBalancer": {"ingress": parts}}}).present
    assert list(map(str, present)) == ["203.0.113.9"]
    assert balanced({**obj, "status": {"loadBalancer": "x"}}).present == ()
