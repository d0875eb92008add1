"""Every case, on every backend: what the rules say of themselves, and what happens to real packets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from tests.conformance.case import NODE_PORT, Case, Expectation, cases
from tests.conformance.stage import ADDRESSES, NODE, node_addresses

from kproxy.backends import Backend, load, names
from kproxy.backends.memory import Memory
from kproxy.host import InNamespace
from kproxy.rules.evaluate import Ending

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

CASES = cases()
MODES = [name for name in names() if name not in ("memory", "iptables")]  # iptables is one of its two flavours
SLOW = "ipvs"  # runs in user-mode Linux: every case in IPv4, every third in IPv6
TRIES = 40  # enough that the rarer of two endpoints is missed once in 10^12 runs
SILENCE = 0.4  # seconds without an answer that count as silence
# A veth delivers an ICMPv6 error while connect() still holds its socket, and IPv6 then forgets it: the second SYN, one
# second later, brings the refusal. (Over a wire, and in IPv4, the first does.)
REFUSAL = 3.0


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
                checks.create_task(asyncio.to_thread(_check_packets, stage, expected, family))
    finally:
        if mode != "ipvs":  # has a kernel to itself, where the next case's resync replaces this one
            await backend.clear()
        backend.close()


def _of(mode: str, case: Case, expected: Expectation) -> Expectation | None:
    """What is expected of a mode; None is nothing."""
    if mode != "userspace":
        return expected
    if expected.to == "unallocated" or case.settings.get("localTraffic") in ("interface", "prefix"):
        return None  # no packet of theirs comes to a forwarder; a connection does not tell its interface
    if expected.ending in ("drop", "reject"):
        # Silence, and the refusal of datagrams and of ports that are not its own, need a packet filter.
        ports = case.service.get("spec", {}).get("ports", [{"port": 80, "nodePort": NODE_PORT}])
        listens = {(p.get("protocol", "TCP"), p.get(at)) for p in ports for at in ("port", "nodePort")}
        ours = ("TCP", expected.port) in listens and not case.service.get("metadata")
        return replace(expected, ending="reject") if ours and expected.protocol == "TCP" else None
    return replace(expected, source="node" if expected.source else "")  # the forwarder is who connects


def _check_evaluation(backend: Backend, expected: Expectation, family: int) -> None:
    outcome = backend.evaluate(expected.packet(family))
    names = {ip_address(text): name for name, text in ADDRESSES[family].items()}
    assert outcome.endings() == {Ending(expected.ending)}, expected
    endpoints = {names[address]: chance for (address, _), chance in outcome.endpoints().items()}
    assert endpoints.keys() == set(expected.reaches), expected
    for chance in endpoints.values():
        assert float(chance) == pytest.approx(1 / len(endpoints), rel=1e-4), expected
    if expected.source:
        assert {p.masqueraded for p in outcome.possibilities} == {expected.source == "node"}, expected


def _check_packets(stage: Stage, expected: Expectation, family: int) -> None:
    if expected.ending == "endpoint":
        _check_endpoints(stage, expected, family)
        return
    patience = REFUSAL if expected.ending == "reject" else SILENCE
    answer = stage.ask(expected.sender, expected.address(family), expected.port, expected.protocol, patience=patience)
    if expected.ending == "untouched":
        there = ("reject", "silence") if expected.closed else ("beyond", "node")
        assert answer.split()[0] in there, (expected, answer)
    else:
        assert answer == {"reject": "reject", "drop": "silence"}[expected.ending], (expected, answer)


def _check_endpoints(stage: Stage, expected: Expectation, family: int) -> None:
    to, client = expected.address(family), expected.sender
    found: dict[str, str] = {}
    for attempt in range(TRIES):
        answer = stage.ask(client, to, expected.port, expected.protocol)
        assert answer not in ("reject", "silence"), (expected, answer)
        name, _, source = answer.split()
        found[name] = source
        if set(found) == set(expected.reaches) and attempt > 4:
            break
    assert set(found) == set(expected.reaches), expected
    for source in found.values() if expected.source else ():
        by_node = ip_address(source) in node_addresses(family)
        kept = client == "node" or source == ADDRESSES[family][client]
        assert by_node if expected.source == "node" else kept, (expected, source)
