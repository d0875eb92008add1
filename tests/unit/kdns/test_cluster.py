"""Objects that the API accepts and the DNS cannot serve are named in Events; everything else works."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from kapi.events import Recorder
from kapi.network import Reference
from kapi.resources import SERVICES
from kdns import records
from kdns.chain import Setup, load
from kdns.likeness import COREDNS
from kdns.plugins import cluster
from kdns.settings import Settings
from kdns.testing import HandFed, ask, endpoint_slice, namespace, service

CLUSTER = "cluster.local"


class Noted(Recorder):
    """Keeps events instead of writing them."""

    def __init__(self) -> None:
        super().__init__("kdns")
        self.seen: list[tuple[str, str, str]] = []

    def event(self, about: Reference, level: Any, reason: str, message: str) -> None:
        self.seen.append((str(about), reason, message))


@pytest.mark.parametrize(
    ("objects", "about", "said"),
    [
        (
            [service("bad", external="not a name")],
            "Service default/bad",
            "spec.externalName: 'not a name' is no host name",
        ),
        ([service("bad", external="10.0.0.1")], "Service default/bad", "'10.0.0.1' is an address, not a name"),
        ([service("bad", external="a" * 64 + ".example")], "Service default/bad", "1 to 63 letters"),
        ([service("bad", external=".".join(["a" * 60] * 5))], "Service default/bad", "octets of 255"),
        ([service("b" * 64, ips=["10.96.0.1"])], f"Service default/{'b' * 64}", "cannot be a label"),
        ([service("b.d", ips=["10.96.0.1"])], "Service default/b.d", "metadata.name: 'b.d' cannot be a label"),
        ([service("bad", ips=["10.96.0.1"], ports=["b d:80"])], "Service default/bad", "spec.ports[0].name: 'b d'"),
        (
            [service("bad"), endpoint_slice("s", "bad", [{"addresses": ["10.0.0.9"], "hostname": "not.a.label"}])],
            "Service default/bad",
            "the hostname 'not.a.label' cannot be a label",
        ),
    ],
)
async def test_what_cannot_have_a_name_is_reported_and_the_rest_is_served(
    objects: list[Any], about: str, said: str
) -> None:
    source, recorder = HandFed(), Noted()
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([namespace("default"), *objects, service("good", ips=["10.96.0.2"])])
    reply = await ask(chain, f"good.default.svc.{CLUSTER}")
    assert [str(record.rdata) for record in reply.rr] == ["10.96.0.2"]
    assert [(event[0], event[1]) for event in recorder.seen] == [(about, "NameNotServed")]
    assert said in recorder.seen[0][2]


async def test_a_name_too_long_only_with_the_zone_is_reported() -> None:
    source, recorder = HandFed(), Noted()
    zone = ".".join(["z" * 60] * 3)
    chain = load(Setup(Settings(zone=zone), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([namespace("default"), service("w" * 63, ips=["10.96.0.1"]), service("good", ips=["10.96.0.2"])])
    assert (await ask(chain, f"good.default.svc.{zone}")).rr
    assert "octets of 255" in recorder.seen[0][2]


async def test_a_name_server_whose_name_does_not_fit_in_front_of_a_reverse_zone_is_none_of_it() -> None:
    source = HandFed()
    label, own = "a" * 63, ip_address("fd44::1")
    here = Settings(answers=COREDNS, reverse=(ip_network("fd44::/112"),), addresses=(own,))
    chain = load(Setup(here, lambda: 1.0, time.monotonic, source))
    endpoints = [
        endpoint_slice("long", label, [{"addresses": [str(own)], "hostname": label}], namespace=label, family=6),
        endpoint_slice("short", "dns", [str(own)], namespace=label, family=6),
    ]
    source.sync_all([namespace(label), service(label, namespace=label), service("dns", namespace=label), *endpoints])
    short = f"fd44--1.dns.{label}.svc"
    reverse = ip_network("fd44::/112").network_address.reverse_pointer.split(".", 4)[-1]
    found = {str(record.rdata) for record in (await ask(chain, CLUSTER, "NS")).rr}
    assert found == {f"{label}.{label}.{label}.svc.{CLUSTER}.", f"{short}.{CLUSTER}."}
    assert [str(record.rdata) for record in (await ask(chain, reverse, "NS")).rr] == [f"{short}.{reverse}."]


async def test_a_problem_is_told_once_and_again_after_it_was_mended() -> None:
    source, recorder = HandFed(), Noted()
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([service("x", external="not a name")])
    name = f"x.default.svc.{CLUSTER}"
    for external in ("not a name", "a.example", "not a name"):
        source.put(SERVICES, service("x", external=external))
        await ask(chain, name)
        source.put(SERVICES, service("x", external=external, sessionAffinity="ClientIP"))
        await ask(chain, name)
    assert len(recorder.seen) == 2


def crowd(of: str, slices: int, endpoints: int, ports: int) -> list[Any]:
    """EndpointSlices, each of so many endpoints with so many ports, all of them accepted by the API."""
    named = [f"p{n}:{n + 1}" for n in range(ports)]
    return [
        endpoint_slice(f"{of}-{s}", of, [f"10.{s}.{n // 256}.{n % 256}" for n in range(endpoints)], ports=named)
        for s in range(slices)
    ]


@pytest.mark.parametrize(
    ("objects", "cut", "kind"),
    [
        (crowd("huge", 1, 656, 100), f"huge.default.svc.{CLUSTER}", "SRV"),
        (crowd("huge", 66, 1000, 0), f"huge.default.svc.{CLUSTER}", "A"),
        (
            [endpoint_slice("s", "huge", [{"addresses": ["10.0.0.9"], "hostname": f"h{n}"} for n in range(4000)])],
            "9.0.0.10.in-addr.arpa",
            "PTR",
        ),
    ],
    ids=["65,600 SRV records", "66,000 A records", "4,000 PTR records"],
)
async def test_what_no_reply_can_carry_is_cut_and_told_of_and_others_are_served(
    objects: list[Any], cut: str, kind: str
) -> None:
    source, recorder = HandFed(), Noted()
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([namespace("default"), service("huge"), *objects, service("good", ips=["10.96.0.2"])])
    assert (await ask(chain, f"good.default.svc.{CLUSTER}")).rr
    assert not chain.waiting
    over_tcp = await ask(chain, cut, kind, limit=65_535)
    assert len(over_tcp.rr) > 900
    assert not over_tcp.header.tc, "the rest is nowhere to be had"
    assert (await ask(chain, cut, kind)).header.tc
    assert {event[:2] for event in recorder.seen} == {("Service default/huge", "NameNotServed")}
    assert any(f"{kind} records of {cut}" in event[2] for event in recorder.seen)
    source.put(SERVICES, service("good", ips=["10.96.0.3"]))
    assert [str(r.rdata) for r in (await ask(chain, f"good.default.svc.{CLUSTER}")).rr] == ["10.96.0.3"]


async def test_what_one_service_can_make_of_its_slices_is_bounded() -> None:
    source, recorder = HandFed(), Noted()
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([service("huge"), *crowd("huge", 1, 1000, 400), service("good", ips=["10.96.0.2"])])
    assert (await ask(chain, f"good.default.svc.{CLUSTER}")).rr
    told = await ask(chain, f"_p0._tcp.huge.default.svc.{CLUSTER}", "SRV", limit=65_535)
    assert len(told.rr) == 125, "50,000 by 400 ports each"
    assert [event for event in recorder.seen if "more than 50000 ports in all" in event[2]]


async def test_a_service_that_fails_to_compile_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    source, recorder = HandFed(), Noted()
    made = records.service_names

    def failing(service: Any, *rest: Any, **more: Any) -> Any:
        if service.name == "bad":
            raise ArithmeticError("out of numbers")
        return made(service, *rest, **more)

    monkeypatch.setattr(cluster, "service_names", failing)
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([service("bad", ips=["10.96.0.1"]), service("good", ips=["10.96.0.2"])])
    for address in ("10.96.0.2", "10.96.0.3"):
        source.put(SERVICES, service("good", ips=[address]))
        assert [str(r.rdata) for r in (await ask(chain, f"good.default.svc.{CLUSTER}")).rr] == [address]
    assert not chain.waiting
    assert recorder.seen == [
        ("Service default/bad", "NameNotServed", recorder.seen[0][2]),
    ]
    assert "ArithmeticError: out of numbers" in recorder.seen[0][2]


async def test_a_large_service_that_changes_all_the_time_leaves_time_for_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, recorder = HandFed(), Noted()
    made, compiled = records.service_names, list[str]()

    def slow(service: Any, *rest: Any, **more: Any) -> Any:
        compiled.append(service.name)
        time.sleep(0.06 if service.name == "large" else 0)
        return made(service, *rest, **more)

    monkeypatch.setattr(cluster, "service_names", slow)
    chain = load(Setup(Settings(), lambda: 1.0, lambda: 1.0, source, recorder))
    source.sync_all([service("large", ips=["10.96.0.1"]), service("good", ips=["10.96.0.2"])])
    for turn in range(50):
        source.put(SERVICES, service("large", ips=[f"10.96.1.{turn}"]))
        source.put(SERVICES, service("good", ips=[f"10.96.2.{turn}"]))
        assert [str(r.rdata) for r in (await ask(chain, f"good.default.svc.{CLUSTER}")).rr] == [f"10.96.2.{turn}"]
    assert compiled.count("large") < 5
    async with asyncio.timeout(5):
        last = ["10.96.1.49"]
        while [str(r.rdata) for r in (await ask(chain, f"large.default.svc.{CLUSTER}")).rr] != last:  # noqa: ASYNC110  # it comes by itself
            await asyncio.sleep(0.01)
    assert not chain.waiting
