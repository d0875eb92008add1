"""Readings of counters that fail: nothing is forgotten by it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from kapi.network import Protocol, Reference
from kproxy.counting import Counting
from kproxy.errors import Unavailable
from kproxy.host import ThisHost
from kproxy.model import Counted, Duties, Frontend, Kind, Place, Target
from kproxy.sync import Done

PLACE = Place(4, ip_address("203.0.113.1"), Protocol.TCP, 80)
TARGET = Target(ip_address("10.244.1.2"), 8080)


def owed(name: str, *places: Place) -> Duties:
    key = f"shop/{name}"
    frontends = tuple(Frontend(place, Kind.EXTERNAL_IP, f"{key}:http", (TARGET,)) for place in places)
    return Duties(key, Reference("Service", "shop", name), frontends)


@pytest.mark.parametrize("failure", [Unavailable("there is no IPVS"), OSError("no answer")])
async def test_who_gets_a_place_begins_at_nothing_though_the_reading_before_failed(failure: Exception) -> None:
    answers: list[Exception | int] = [failure, 7, 9]

    def told() -> Iterable[Counted]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [Counted(PLACE, TARGET, "in", answer, 100 * answer)]

    counting = Counting(ThisHost(), told=told)
    counting.take(Done(1, 0.0, True, {"shop/old": owed("old", PLACE)}))
    counting.take(Done(2, 0.0, False, {"shop/old": owed("old"), "shop/new": owed("new", PLACE)}))
    with pytest.raises(type(failure)):
        await counting.text()
    assert [await packets(counting), await packets(counting)] == [0, 2]


async def packets(counting: Counting) -> float:
    found = re.search(r'^kproxy_service_packets_total\{.*service="new".*\} (\S+)$', await counting.text(), re.MULTILINE)
    assert found
    return float(found[1])
