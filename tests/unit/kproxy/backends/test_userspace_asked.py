"""Who is served at a place that several Services ask for."""

from __future__ import annotations

from ipaddress import ip_address

from kapi.network import Protocol, Reference
from kproxy.backends.userspace.asked import Asked, Spot
from kproxy.model import Duties, Frontend, Kind, Place

NODE = ip_address("192.168.1.10")
SPOT = Spot(NODE, "TCP", 30080)
NAMED = Frontend(Place(4, NODE, Protocol.TCP, 30080), Kind.EXTERNAL_IP, "shop/b:http", ())
PORTED = Frontend(Place(4, None, Protocol.TCP, 30080), Kind.NODE_PORT, "shop/a:http", ())


def service(key: str, *frontends: Frontend) -> Duties:
    return Duties(key, Reference("Service", *key.split("/")), frontends)


def asked(*services: Duties) -> Asked:
    made = Asked()
    made.own = (NODE,)
    for one in services:
        made.note(one.key, one)
    return made


def test_who_names_the_nodes_address_comes_before_a_node_port_whoever_came_first() -> None:
    services = (service("shop/a", PORTED), service("shop/b", NAMED))
    for order in (services, services[::-1]):
        made = asked(*order)
        assert made.frontend(SPOT) == NAMED
        assert made.holder(SPOT) == "shop/b"
        made.note("shop/b", None)
        assert made.frontend(SPOT) == PORTED


def test_the_same_holds_within_one_service() -> None:
    assert asked(service("shop/b", NAMED, PORTED)).frontend(SPOT) == NAMED
