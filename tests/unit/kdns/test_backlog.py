"""What is not compiled yet is found by whatever name or address it may be asked for by."""

from __future__ import annotations

import sys
from ipaddress import ip_network
from types import FrameType
from typing import Any

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.resources import SERVICES
from kdns import names
from kdns.backlog import Backlog
from kdns.chain import Setup, load
from kdns.responder import Responder
from kdns.settings import Settings
from kdns.testing import HandFed, ask, namespace, service


@pytest.fixture
def backlog() -> Backlog:
    made = Backlog("cluster.local")
    for key in ("default/web", "shop/db", "shop/web"):
        made.add(key)
    for key in ("shop/db", "shop/web"):
        made.index(key, [names.reverse_wire(bytes((10, 244, 1, 3)))])
    return made


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("web.default.svc.cluster.local", ["default/web"]),
        ("a.b.c.web.default.svc.cluster.local", ["default/web"]),
        ("db.default.svc.cluster.local", []),
        ("default.svc.cluster.local", []),
        ("svc.cluster.local", []),
        ("web.default.pod.cluster.local", []),
        ("3.1.244.10.in-addr.arpa", ["shop/db", "shop/web"]),
        ("1.244.10.in-addr.arpa", []),
        ("4.1.244.10.in-addr.arpa", []),
        ("9.3.1.244.10.in-addr.arpa", []),
    ],
)
def test_a_service_is_found_by_the_names_and_addresses_that_it_may_have(
    backlog: Backlog, name: str, found: list[str]
) -> None:
    assert backlog.asked_for(names.to_wire(name)) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("default.svc.cluster.local", "default/web"),
        ("shop.svc.cluster.local", "shop/db"),
        ("other.svc.cluster.local", None),
        ("web.default.svc.cluster.local", None),
        ("svc.cluster.local", None),
        ("1.244.10.in-addr.arpa", "shop/db"),
        ("in-addr.arpa", "shop/db"),
        ("3.1.244.10.in-addr.arpa", None),
        ("2.244.10.in-addr.arpa", None),
    ],
)
def test_one_is_found_by_a_name_that_has_none_of_its_own(backlog: Backlog, name: str, found: str | None) -> None:
    assert backlog.below(names.to_wire(name)) == found


def test_what_is_taken_is_found_by_no_address_and_the_others_still_are(backlog: Backlog) -> None:
    whole, above = names.to_wire("3.1.244.10.in-addr.arpa"), names.to_wire("10.in-addr.arpa")
    backlog.take("shop/db")
    assert [backlog.asked_for(whole), backlog.below(above)] == [["shop/web"], "shop/web"]
    backlog.take("shop/web")
    assert [backlog.asked_for(whole), backlog.below(above)] == [[], None]


def test_a_question_costs_the_same_however_many_addresses_there_are() -> None:
    """Counted in lines that run, for time is no measure here."""
    costs = []
    for size in (10, 1000):
        backlog = Backlog("cluster.local")
        for n in range(size):
            backlog.add(f"default/s{n}")
            backlog.index(f"default/s{n}", [names.reverse_wire(bytes((10, 1, n // 256, n % 256)))])
        asked = [names.to_wire(f"{name}in-addr.arpa") for name in ("9.9.9.9.", "9.9.", "", "1.10.")]
        costs.append(lines_run(backlog, asked))
    assert costs[0] == costs[1]


def lines_run(backlog: Backlog, asked: list[bytes]) -> int:
    """Count the steps that questions take."""
    seen = 0

    def count(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal seen
        seen += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        for name in asked:
            backlog.asked_for(name)
            backlog.below(name)
    finally:
        sys.settrace(before)
    return seen


def test_the_one_that_waits_for_longest_comes_first_and_what_is_taken_is_not_found(backlog: Backlog) -> None:
    backlog.add("default/web")
    assert [backlog.first(), len(backlog)] == ["default/web", 3]
    backlog.take("default/web")
    assert backlog.asked_for(names.to_wire("web.default.svc.cluster.local")) == []
    assert [backlog.first(), len(backlog)] == ["shop/db", 2]
    assert backlog.below(names.to_wire("default.svc.cluster.local")) is None


@given(st.binary(max_size=60))
def test_any_bytes_may_be_asked_for(before: bytes) -> None:
    backlog = Backlog("z")
    backlog.add("a/b")
    for name in (before, before + b"\3svc\1z\0", before + b"\4arpa\0"):
        assert backlog.asked_for(name) in ([], ["a/b"])
        assert backlog.below(name) in (None, "a/b")


async def test_what_is_asked_between_a_change_and_its_turn_is_answered_rightly_at_once() -> None:
    source = HandFed()
    chain = load(Setup(Settings(reverse=(ip_network("10.96.0.0/16"),)), lambda: 1.0, lambda: 1.0, source))
    source.sync_all([namespace("default"), service("web", ips=["10.96.0.2"])])
    assert (await ask(chain, "2.0.96.10.in-addr.arpa", "PTR")).rr
    responder = Responder(chain)
    query = bytes(dnslib.DNSRecord.question("3.0.96.10.in-addr.arpa", "PTR").pack())
    assert not dnslib.DNSRecord.parse(responder.plain(query)).rr
    source.put(SERVICES, service("web", ips=["10.96.0.3"]))
    assert len(dnslib.DNSRecord.parse(responder.plain(query)).rr) == 1


async def test_what_is_asked_first_of_all_is_answered_rightly() -> None:
    source = HandFed()
    chain = load(Setup(Settings(reverse=(ip_network("10.96.0.0/16"),)), lambda: 1.0, lambda: 1.0, source))
    source.sync_all([namespace("default"), service("web", ips=["10.96.0.2"])])
    assert len((await ask(chain, "2.0.96.10.in-addr.arpa", "PTR", turns=0)).rr) == 1


@pytest.mark.parametrize("change", [{"ips": ["10.96.0.3"]}, None])
async def test_a_change_shows_in_the_very_next_answer(change: dict[str, Any] | None) -> None:
    source = HandFed()
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source))
    source.sync_all([namespace("default"), service("web", ips=["10.96.0.2"])])
    name = "web.default.svc.cluster.local"
    assert [str(r.rdata) for r in (await ask(chain, name)).rr] == ["10.96.0.2"]
    if change is None:
        source.remove(SERVICES, "default/web")
    else:
        source.put(SERVICES, service("web", **change))
    told = await ask(chain, name, turns=0)
    assert [str(r.rdata) for r in told.rr] == (change or {}).get("ips", [])
    assert told.header.get_rcode() == (0 if change else 3)
