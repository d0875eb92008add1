"""Packets and bytes of every Service and endpoint: the rules that count them, and reading the counters. Pure.

The kernel fills the sets itself, an element for each endpoint that a Service port's traffic has reached, so a Service
costs nothing here until somebody calls it, and a change of Services changes no rule. What is counted are connections
whose destination was rewritten, whoever did it: the modes nftables and iptables alike. `docs/reference/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from zlib import crc32

from kapi.network import Protocol
from kproxy.backends.nftables import encode
from kproxy.backends.nftables.encode import Step
from kproxy.model import Place, Target
from kproxy.netlink import Reply, attributes, items
from kproxy.rules.fields import PROTOCOLS, fields
from kproxy.rules.model import (
    Answers,
    ArrivedOn,
    Called,
    CalledPort,
    Chain,
    Count,
    Destination,
    Goto,
    Hook,
    Key,
    Port,
    Rule,
    Set,
    Source,
    SourcePort,
    Table,
    Translated,
)

TABLE = "kproxy-traffic"
SECONDS = 86400  # an endpoint without a packet for so long is forgotten
_BEFORE_SOURCE_NAT = 90  # answers still carry the address of the endpoint
_IN, _OUT = "in", "out"  # to the endpoint, and from it
_NAMES = {_IN: "asked", _OUT: "answered"}


@dataclass(frozen=True, slots=True)
class Counted:
    """What went between one endpoint and the clients that called one place; `direction` is "in" or "out"."""

    called: Place
    endpoint: Target
    direction: str
    packets: int
    bytes: int


def table(family: int) -> Table:
    """Give the rules of one family."""
    declared = {name: Set(name, key, dynamic=True) for _, _, name, key in _sets()}
    count = tuple(
        Rule((Answers(negated=direction == _IN), Count(key, name, SECONDS))) for _, direction, name, key in _sets()
    )
    chains = (
        Chain("count", count),
        Chain("leaving", (_led(),), Hook("filter", "postrouting", _BEFORE_SOURCE_NAT)),
        # what the node sends to itself was counted as it left
        Chain("staying", (_led(ArrivedOn("lo", negated=True)),), Hook("filter", "input", _BEFORE_SOURCE_NAT)),
    )
    return Table(family, TABLE, declared, {chain.name: chain for chain in chains})


def steps(family: int) -> Iterator[Step]:
    """Write the messages that make it."""
    yield encode.new_table(family, TABLE, fingerprint(family), exclusive=True)
    yield from _content(family)


def fingerprint(family: int) -> str:
    """Name the layout: a table with the same words was made by the same rules."""
    return f"kproxy {crc32(b''.join(step.body for step in _content(family))):08x}"


def sets() -> tuple[str, ...]:
    """Name the sets to read."""
    return tuple(name for _, _, name, _ in _sets())


def read(listed: Iterable[Reply], name: str, family: int) -> Iterator[Counted]:
    """Read the elements of a set."""
    protocol, direction, key = next((p, d, k) for p, d, n, k in _sets() if n == name)
    for reply in listed:
        for _, element in items(attributes(reply.body).get(3, b"")):
            held = attributes(element)
            endpoint, port, called, called_port = fields(key, attributes(held[1])[1], family)
            counter = attributes(attributes(held[7])[2])
            assert isinstance(port, int)
            assert isinstance(called_port, int)
            yield Counted(
                Place(family, ip_address(called), Protocol(protocol.upper()), called_port),
                Target(ip_address(endpoint), port),
                direction,
                packets=int.from_bytes(counter[2], "big"),
                bytes=int.from_bytes(counter[1], "big"),
            )


def _sets() -> Iterator[tuple[str, str, str, Key]]:
    """Give protocol, direction, name and key of every set."""
    called = (Called(), CalledPort())
    for protocol in PROTOCOLS:
        yield protocol, _IN, f"{protocol}-{_NAMES[_IN]}", (Destination(), Port(protocol), *called)
        yield protocol, _OUT, f"{protocol}-{_NAMES[_OUT]}", (Source(), SourcePort(protocol), *called)


def _led(*conditions: ArrivedOn) -> Rule:
    return Rule((*conditions, Translated(), Goto("count")))


def _content(family: int) -> Iterator[Step]:
    made = table(family)
    yield from (encode.new_set(family, TABLE, declared) for declared in made.sets.values())
    yield from (encode.new_chain(family, TABLE, chain) for chain in made.chains.values())
    yield from (
        encode.new_rule(family, TABLE, chain.name, rule) for chain in made.chains.values() for rule in chain.rules
    )
