from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from kapi.network import LoadBalancerAddress, Service, ServiceType
from kingress import publish
from kingress.objects import Ingress

CLUSTER = ip_address("10.96.0.7")
BALANCED = LoadBalancerAddress(ip_address("203.0.113.1"))


def front(*balanced: LoadBalancerAddress) -> Service:
    return Service(
        "kube-system", "ingress", "", ServiceType.LOAD_BALANCER, False, (CLUSTER,), (), load_balancer=balanced
    )


def test_a_load_balancers_addresses_are_published_and_else_the_cluster_address() -> None:
    assert publish.addresses((), front(BALANCED)) == ("203.0.113.1",)
    assert publish.addresses((), front()) == ("10.96.0.7",)
    named = replace(front(), load_balancer_names=("lb.cloud.example",))
    assert publish.addresses((), named) == ("lb.cloud.example",)
    assert publish.addresses(("lb.example",), None) == ("lb.example",)
    assert publish.addresses((), None) == ()


def test_a_status_is_patched_only_where_it_differs() -> None:
    wanted = ("203.0.113.1", "lb.example")
    assert publish.patch(wanted, Ingress("shop", "web")) == {
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "lb.example"}]}}
    }
    assert publish.patch(wanted, Ingress("shop", "web", addresses=wanted)) is None
    assert publish.patch((), Ingress("shop", "web", addresses=wanted)) == {
        "status": {"loadBalancer": {"ingress": None}}
    }
