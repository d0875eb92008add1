"""The released kube-proxy meets every case, too: it is the oracle, and each disagreement has its reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conformance.case import Case, Expectation, cases
from tests.conformance.meeting import check_packets
from tests.conformance.released import BINARY, kube_proxy

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

pytestmark = [pytest.mark.peers, pytest.mark.timeout(60)]

# What kube-proxy v1.36.3 does otherwise, each with its reason; docs/reference/conformance.md lists them.
UNDECLARED = "iptables mode has no rule for ports that a clusterIP does not have"
UNALLOCATED = "iptables mode has no rule for addresses that no Service has"
FROM_THE_NODE = (
    "iptables mode rejects at external addresses what arrives and what is forwarded, not what the node sends"
)
OURS = "kproxy's own annotations"
LOCALHOST = "iptables mode lets NodePorts answer on 127.0.0.1, by route_localnet"
NO_NODE_NAME = "nftables mode masquerades a pod that reaches itself only if its endpoint names this node"


def known(mode: str, case: Case, expected: Expectation) -> str:
    """The reason why kube-proxy may differ here; "" is none."""
    if any(name.startswith("kproxy.io/") for name in case.service.get("metadata", {}).get("annotations", ())):
        return OURS
    if mode == "nftables":
        unnamed = any(e.get("node") == "" for e in case.endpoints)
        return NO_NODE_NAME if unnamed and expected.sender in expected.reaches else ""
    if expected.to == "unallocated" or case.service.get("metadata"):
        return UNALLOCATED
    if expected.ending == "reject" and expected.sender == "node" and expected.to in ("lb", "externalIP"):
        return FROM_THE_NODE
    if expected.to == "loopback":
        return LOCALHOST
    declared = {(p.get("protocol", "TCP"), p["port"]) for p in case.cluster(4).services[0]["spec"]["ports"]}
    undeclared = expected.to == "clusterIP" and (expected.protocol, expected.port) not in declared
    return UNDECLARED if undeclared else ""


def each() -> list[object]:
    return [
        pytest.param(mode, case, case.families[0], id=f"{mode}-{case.name.replace(' ', '-')}-ipv{case.families[0]}")
        for mode in ("nftables", "iptables")
        for case in cases()
        if not case.evaluated
    ]


@pytest.mark.parametrize(("mode", "case", "family"), each())
async def test_kube_proxy_agrees(stage: Stage, tmp_path: Path, mode: str, case: Case, family: int) -> None:
    if not BINARY.exists():
        pytest.skip("the released kube-proxy has not been built: scripts/peers kube-proxy")
    async with kube_proxy(stage, case, family, mode, tmp_path):
        asked = [asyncio.to_thread(_difference, stage, expected, family) for expected in case.expectations]
        found = await asyncio.gather(*asked)
    differences = {str(e): difference for e, difference in zip(case.expectations, found, strict=True) if difference}
    unexplained = {
        str(e): difference
        for e, difference in zip(case.expectations, found, strict=True)
        if difference and not known(mode, case, e)
    }
    assert not unexplained, differences


def _difference(stage: Stage, expected: Expectation, family: int) -> str:
    try:
        check_packets(stage, expected, family)
    except AssertionError as error:
        return str(error)
    return ""
