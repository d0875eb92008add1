"""Totals of traffic only grow, whatever becomes of the elements that the kernel counts in."""

from __future__ import annotations

import re
from ipaddress import ip_address

from kapi.network import Protocol
from kproxy.model import Counted, Place, Target
from kproxy.totals import Owners, Totals

VIP = Place(4, ip_address("10.96.0.1"), Protocol.TCP, 80)
NODE_PORT = Place(4, None, Protocol.TCP, 30080)
ON_NODE = Place(4, ip_address("192.0.2.1"), Protocol.TCP, 30080)
WEB = {VIP: "shop/web:http", NODE_PORT: "shop/web:http"}
NOBODY: frozenset[Place] = frozenset()


def counted(packets: int, host: int = 1, called: Place = VIP) -> Counted:
    """So many packets, of ten bytes each, to one of the endpoints."""
    return Counted(called, Target(ip_address(f"10.244.1.{host}"), 8080), "in", packets, packets * 10)


def told(totals: Totals, unit: str = "packets") -> dict[str, int]:
    """What is told of each Service and each endpoint, by their names."""
    found = {}
    for line in totals.lines(endpoints=True):
        if line.startswith(("kproxy_service_" + unit, "kproxy_endpoint_" + unit)):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[labels.get("endpoint", f"{labels['service']}:{labels['port']}")] = int(line.split()[-1])
    return found


def test_a_service_port_has_what_all_its_places_and_endpoints_have() -> None:
    totals = Totals()
    totals.take([counted(5), counted(3, 2), counted(2, 1, ON_NODE)], WEB, NOBODY)
    assert told(totals) == {"web:http": 10, "10.244.1.1:8080": 7, "10.244.1.2:8080": 3}
    assert told(totals, "bytes") == {"web:http": 100, "10.244.1.1:8080": 70, "10.244.1.2:8080": 30}


def test_a_reading_is_added_once() -> None:
    totals = Totals()
    for _ in range(3):
        totals.take([counted(5)], WEB, NOBODY)
    totals.take([counted(6)], WEB, NOBODY)
    assert told(totals)["web:http"] == 6


def test_the_total_stays_when_the_kernel_forgets_one_of_ten_endpoints() -> None:
    totals = Totals()
    totals.take([counted(5, host) for host in range(10)], WEB, NOBODY)
    totals.take([counted(5, host) for host in range(9)], WEB, NOBODY)
    assert told(totals)["web:http"] == 50
    assert "10.244.1.9:8080" not in told(totals)
    totals.take([], WEB, NOBODY)
    assert told(totals) == {"web:http": 50}


def test_an_endpoint_that_was_forgotten_counts_on_from_there() -> None:
    totals = Totals()
    for packets in (5, 2, 4):  # 2: forgotten and made again between two readings
        totals.take([counted(packets)], WEB, NOBODY)
    assert told(totals) == {"web:http": 9, "10.244.1.1:8080": 9}
    totals.take([], WEB, NOBODY)
    totals.take([counted(1)], WEB, NOBODY)
    assert told(totals) == {"web:http": 10, "10.244.1.1:8080": 1}


def test_an_endpoint_that_is_reached_in_two_ways_keeps_its_total_when_one_is_forgotten() -> None:
    totals = Totals()
    totals.take([counted(5), counted(2, 1, ON_NODE)], WEB, NOBODY)
    totals.take([counted(6)], WEB, NOBODY)
    assert told(totals) == {"web:http": 8, "10.244.1.1:8080": 8}


def test_a_service_that_gets_the_place_of_another_begins_at_nothing() -> None:
    totals = Totals()
    totals.take([counted(5)], WEB, NOBODY)
    totals.take([counted(7)], {VIP: "shop/new:http"}, frozenset({VIP}))
    assert told(totals) == {"new:http": 0, "10.244.1.1:8080": 0}
    totals.take([counted(8)], {VIP: "shop/new:http"}, NOBODY)
    assert told(totals) == {"new:http": 1, "10.244.1.1:8080": 1}


def test_the_same_holds_where_nobody_had_read_the_counters_of_the_first() -> None:
    for place, called in ((VIP, VIP), (NODE_PORT, ON_NODE)):
        totals = Totals()
        totals.take([counted(7, 1, called)], {place: "shop/new:http"}, frozenset({place}))
        totals.take([counted(8, 1, called)], {place: "shop/new:http"}, NOBODY)
        assert told(totals)["new:http"] == 1


def test_what_came_while_a_place_was_nobodys_is_nobodys() -> None:
    totals = Totals()
    totals.take([counted(5)], WEB, NOBODY)
    totals.take([counted(6)], {}, frozenset({VIP}))
    assert told(totals) == {}
    totals.take([counted(7)], {VIP: "shop/new:http"}, NOBODY)
    totals.take([counted(9)], {VIP: "shop/new:http"}, NOBODY)
    assert told(totals)["new:http"] == 2


def test_without_endpoints_only_services_are_told() -> None:
    totals = Totals()
    totals.take([counted(5)], WEB, NOBODY)
    assert not [line for line in totals.lines(endpoints=False) if "endpoint_" in line]
    assert told(totals)["web:http"] == 5


def test_a_place_changes_when_a_service_port_loses_it_and_not_when_it_is_told_again() -> None:
    owners = Owners()
    owners.put("shop/web", WEB)
    owners.put("shop/web", dict(WEB))
    assert not owners.changed
    owners.put("shop/web", {VIP: "shop/web:http", NODE_PORT: "shop/web:admin"})
    assert owners.changed == {NODE_PORT}
    owners.keep({"shop/web"})
    assert owners.changed == {NODE_PORT}
    owners.keep(set())
    assert owners.changed == {VIP, NODE_PORT}
    assert not owners.origins


def test_a_place_that_went_to_another_service_stays_there_when_the_first_is_told_last() -> None:
    owners = Owners()
    owners.put("shop/web", {VIP: "shop/web:http"})
    owners.put("shop/new", {VIP: "shop/new:http"})
    owners.put("shop/web", {})
    assert owners.origins == {VIP: "shop/new:http"}
    assert owners.changed == {VIP}
