"""Packets and bytes of every Service and endpoint: the rules that count them, and reading the counters. Pure.

The kernel fills the sets itself, an element for each endpoint that a Service port's traffic has reached, so a Service
costs nothing here until somebody calls it, and a change of Services changes no rule. What is counted are connections
whose destination was rewritten, whoever did it: the modes nftables and iptables alike. `docs/reference/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from struct import Struct
from zlib import crc32

from kapi.network import Protocol
from kproxy.backends.nftables import encode
from kproxy.backends.nftables.encode import Step
from kproxy.model import Counted, Place, Target
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
_COUNT = Struct(">Q")
_IN, _OUT = "in", "out"  # to the endpoint, and from it
_NAMES = {_IN: "asked", _OUT: "answered"}


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


class Reader:
    """Reads the elements of the sets. What a key means is worked out once, for as long as its element is there."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], dict[bytes, tuple[Place, Target]]] = {}

    def read(self, listed: Iterable[Reply], name: str, family: int) -> Iterator[Counted]:
        """Read a set."""
        protocol, direction, key = next((p, d, k) for p, d, n, k in _sets() if n == name)
        before, now = self._known.pop((name, family), {}), dict[bytes, tuple[Place, Target]]()
        layout = _Layout()
        for reply in listed:
            for _, element in items(attributes(reply.body).get(3, b"")):
                held, packets, size = layout.read(element)
                about = now[held] = before.get(held) or _about(held, key, family, protocol)
                yield Counted(*about, direction, packets, size)
        self._known[name, family] = now


class _Layout:
    """Where an element has its key and its counters: as another one of the same length and set."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[slice, int, int]] = {}

    def read(self, element: bytes) -> tuple[bytes, int, int]:
        """Give the key, the packets and the bytes of one element."""
        found = self._of.get(len(element))
        if found is None:
            held = attributes(element)
            key, counter = attributes(held[1])[1], attributes(attributes(held[7])[2])
            start = _place_of(element, 1, 1)
            of = slice(start, start + len(key)), _place_of(element, 7, 2, 2), _place_of(element, 7, 2, 1)
            assert (key, counter[2], counter[1]) == (element[of[0]], element[of[1] :][:8], element[of[2] :][:8])
            found = self._of[len(element)] = of
        where, packets, size = found
        return element[where], _COUNT.unpack_from(element, packets)[0], _COUNT.unpack_from(element, size)[0]


def _place_of(data: bytes, *path: int) -> int:
    """Find where the payload of an attribute begins, by the kinds of those around it and its own."""
    at = 0
    for kind in path:
        for found, payload in items(data):
            if found == kind:
                break
            at += len(payload) + 4 + 3 & ~3
        at += 4
        data = payload
    return at


def _about(held: bytes, key: Key, family: int, protocol: str) -> tuple[Place, Target]:
    endpoint, port, called, called_port = fields(key, held, family)
    assert isinstance(port, int)
    assert isinstance(called_port, int)
    place = Place(family, ip_address(called), Protocol(protocol.upper()), called_port)
    return place, Target(ip_address(endpoint), port)


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
