"""Worlds and packets drawn at random: what the kernel does is what the rules say."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.case import NODE_PORT, Case, Expectation
from tests.conformance.stage import ADDRESSES, NODE, node_addresses

from kproxy.backends import Backend, load
from kproxy.host import InNamespace
from kproxy.rules.evaluate import Ending, Outcome

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

POLICIES = st.sampled_from(["Cluster", "Local"])
STATES = st.sampled_from(
    [
        {},
        {"ready": False},
        {"ready": False, "serving": True, "terminating": True},
        {"ready": False, "serving": False, "terminating": True},
    ]
)
ENDPOINTS = st.dictionaries(st.sampled_from(["L", "L2", "R"]), STATES)
RANGES = st.sampled_from([[], ["198.51.100.0/24", "2001:db8:1::/64"], ["192.0.2.0/24", "2001:db8:99::/64"], ["node"]])
SENDERS = st.sampled_from(["pod", "L", "node", "outside"])
PLACES = st.sampled_from(
    [("clusterIP", 80), ("clusterIP", 81), ("nodePort", NODE_PORT), ("lb", 80), ("externalIP", 80)]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    protocol = draw(st.sampled_from(["TCP", "UDP"]))
    spec: dict[str, Any] = {
        "internalTrafficPolicy": draw(POLICIES),
        "externalTrafficPolicy": draw(POLICIES),
        "loadBalancerSourceRanges": draw(RANGES),
        "sessionAffinity": draw(st.sampled_from(["None", "None", "ClientIP"])),
        "ports": [{"name": "p", "port": 80, "protocol": protocol, "nodePort": NODE_PORT}],
    }
    packets = draw(st.lists(st.tuples(SENDERS, PLACES), min_size=3, max_size=6, unique=True))
    return Case(
        name="drawn",
        service={"spec": spec},
        endpoints=tuple({"at": at, **state} for at, state in draw(ENDPOINTS).items()),
        expectations=tuple(
            Expectation(sender, to, port, protocol, (), "", "", False) for sender, (to, port) in packets
        ),
        settings={"masqueradeAll": draw(st.booleans())},
    )


@pytest.mark.parametrize("mode", ["nftables", "iptables-legacy", "iptables-nft"])
@given(case=cases(), family=st.sampled_from([4, 6]))
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_kernel_does_what_the_rules_say(stage: Stage, mode: str, case: Case, family: int) -> None:
    backend = load(mode)(InNamespace(stage.namespaces["node"].fd))
    try:
        asyncio.run(_compare(backend, stage, case, family))
    finally:
        asyncio.run(backend.clear())
        backend.close()


async def _compare(backend: Backend, stage: Stage, case: Case, family: int) -> None:
    await case.cluster(family).put_in_place(backend, NODE, case.proxy_settings())
    async with asyncio.TaskGroup() as checks:
        for asked in case.expectations:
            outcome = backend.evaluate(asked.packet(family))
            checks.create_task(asyncio.to_thread(_check, stage, asked, outcome, family))


def _check(stage: Stage, asked: Expectation, outcome: Outcome, family: int) -> None:
    refused = outcome.endings() == {Ending.REJECT}
    for _ in range(1 if refused or not outcome.endpoints() else 3):
        patience = 3.0 if refused else 1.0 if outcome.endpoints() else 0.3
        answer = stage.ask(asked.sender, asked.address(family), asked.port, asked.protocol, patience=patience)
        assert _agrees(answer, asked, outcome, family), (asked, answer, outcome.possibilities)


def _agrees(answer: str, asked: Expectation, outcome: Outcome, family: int) -> bool:
    (ending,) = outcome.endings()
    if ending is not Ending.ENDPOINT:
        if ending is Ending.UNTOUCHED:
            return answer.split(maxsplit=1)[0] in ("beyond", "node", "reject", "silence")
        return answer == ("reject" if ending is Ending.REJECT else "silence")
    name, _, source = (*answer.split(), "", "")[:3]
    found = [p for p in outcome.possibilities if str(p.destination) == ADDRESSES[family].get(name)]
    if not found:
        return False
    by_node = ip_address(source) in node_addresses(family)
    return by_node == (asked.sender == "node" or found[0].masqueraded)
