"""Packets of a case, and whether they meet what must happen."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.conformance.case import Expectation
from tests.conformance.stage import ADDRESSES, node_addresses

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

TRIES = 40  # enough that the rarer of two endpoints is missed once in 10^12 runs
SILENCE = 0.4  # seconds without an answer that count as silence
# A veth delivers an ICMPv6 error while connect() still holds its socket, and IPv6 then forgets it: the second SYN, one
# second later, brings the refusal. (Over a wire, and in IPv4, the first does.)
REFUSAL = 3.0


def check_packets(stage: Stage, expected: Expectation, family: int) -> None:
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
