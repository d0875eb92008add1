"""Every case, on every backend: what the rules say of themselves, and what happens to real packets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from tests.conformance.case import NODE_PORT, Case, Expectation, cases
from tests.conformance.meeting import check_packets
from tests.conformance.stage import ADDRESSES, NODE

from kproxy.backends import Backend, load, names
from kproxy.backends.memory import Memory
from kproxy.host import InNamespace
from kproxy.rules.evaluate import Ending

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

CASES = cases()
MODES = [name for name in names() if name not in ("memory", "iptables")]  # iptables is one of its two flavours
SLOW = "ipvs"  # runs in user-mode Linux: every case in IPv4, every third in IPv6


def each(wanted: list[Case]) -> list[object]:
    return [pytest.param(c, f, id=identity(c, f)) for c in wanted for f in c.families]


def each_mode(wanted: list[Case]) -> list[object]:
    found: list[object] = []
    for mode in MODES:
        marks = [pytest.mark.uml] if mode == SLOW else []
        for number, case in enumerate(wanted):
            families = [f for f in case.families if mode != SLOW or f == 4 or not number % 3 or case.families == (6,)]
            found += [pytest.param(mode, case, f, id=f"{mode}-{identity(case, f)}", marks=marks) for f in families]
    return found


def identity(case: Case, family: int) -> str:
    return f"{case.name.replace(' ', '-')}-ipv{family}"


@pytest.mark.parametrize(("case", "family"), each(CASES))
async def test_the_rules_say_what_must_happen(case: Case, family: int) -> None:
    backend = Memory()
    await case.cluster(family).put_in_place(backend, NODE, case.proxy_settings())
    for expected in case.expectations:
        _check_evaluation(backend, expected, family)


@pytest.mark.parametrize(("mode", "case", "family"), each_mode([case for case in CASES if not case.evaluated]))
async def test_packets_meet_what_must_happen(mode: str, case: Case, family: int, stage: Stage) -> None:
    backend = load(mode)(InNamespace(stage.namespaces["node"].fd))
    if missing := backend.missing():
        pytest.skip(missing)
    try:
        await case.cluster(family).put_in_place(backend, NODE, case.proxy_settings())
        expectations = [e for e in (_of(mode, case, e) for e in case.expectations) if e]
        for expected in expectations:
            _check_evaluation(backend, expected, family)
        async with asyncio.TaskGroup() as checks:
            for expected in expectations:
                checks.create_task(asyncio.to_thread(check_packets, stage, expected, family))
    finally:
        if mode != "ipvs":  # has a kernel to itself, where the next case's resync replaces this one
            await backend.clear()
        backend.close()


def _of(mode: str, case: Case, expected: Expectation) -> Expectation | None:
    """What is expected of a mode; None is nothing."""
    if mode != "userspace":
        return expected
    if expected.protocol == "SCTP" or expected.to == "unallocated":
        return None  # of these, nothing comes to a forwarder
    if case.settings.get("localTraffic") in ("interface", "prefix"):
        return None  # a connection does not tell its interface
    if expected.ending in ("drop", "reject"):
        # Silence, and the refusal of datagrams and of ports that are not its own, need a packet filter.
        ports = case.service.get("spec", {}).get("ports", [{"port": 80, "nodePort": NODE_PORT}])
        listens = {(p.get("protocol", "TCP"), p.get(at)) for p in ports for at in ("port", "nodePort")}
        ours = ("TCP", expected.port) in listens and "labels" not in case.service.get("metadata", {})
        return replace(expected, ending="reject") if ours and expected.protocol == "TCP" else None
    return replace(expected, source="node" if expected.source else "")  # the forwarder is who connects


def _check_evaluation(backend: Backend, expected: Expectation, family: int) -> None:
    outcome = backend.evaluate(expected.packet(family))
    names = {ip_address(text): name for name, text in ADDRESSES[family].items()}
    assert outcome.endings() == {Ending(expected.ending)}, expected
    endpoints = {names[address]: chance for (address, _), chance in outcome.endpoints().items()}
    assert endpoints.keys() == set(expected.reaches), expected
    for name, chance in endpoints.items():
        share = expected.reaches.count(name) / len(expected.reaches)
        assert float(chance) == pytest.approx(share, rel=1e-4), expected
    if expected.source:
        assert {p.masqueraded for p in outcome.possibilities} == {expected.source == "node"}, expected
