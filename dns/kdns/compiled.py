"""The records of one owner in wire form: each set of one name and type is the answer to one question. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from kdns import names, wire
from kdns.records import Data, Pointer, Record, Srv
from kdns.wire import Answer, Rcode, Type

_CLASS_IN = wire.CLASS_IN.to_bytes(2, "big")
_FOUND = wire.flags_of(Rcode.NOERROR)
_FREE_ORDER = {Type.A: 16, Type.AAAA: 28}  # octets of one such record behind a pointer
_TARGETS = {Type.NS: 12, Type.SRV: 18}  # octets of such a record before the name it leads to
_POINTER_REACH = 0x4000

_Groups = dict[tuple[str, Type], dict[object, Data]]


class Target(NamedTuple):
    """Where a PTR record of `owner` leads, on the wire; `of_service` as in `Pointer`. A tuple, for there are many."""

    owner: str
    name: bytes
    of_service: bool


@dataclass(frozen=True, slots=True)
class Compiled:
    """What an owner answers, by question. PTR records are not answers yet: an address may have several owners."""

    answers: dict[bytes, Answer] = field(default_factory=dict)
    pointers: dict[bytes, tuple[Target, ...]] = field(default_factory=dict)
    aliases: dict[bytes, bytes] = field(default_factory=dict)
    names: dict[bytes, bytes] = field(default_factory=dict)  # question -> its name, the same object wherever it occurs
    cut: list[str] = field(default_factory=list)  # sets that no reply can carry whole


def compiled(records: Iterable[Record], ttl: int, owner: str = "") -> Compiled:
    """Compile all records of one owner. Raises `NameInvalid` where a name is too long for the protocol.

    A set of records that not even a reply over TCP can carry is cut at what one can, and named in `cut`.
    """
    groups = _grouped(records)
    wires = {name: names.to_wire(name) for name in _names(groups)}
    batch = _Batch(groups, wires, ttl)
    made = Compiled()
    for (name, kind), group in groups.items():
        question = question_of(wires[name], kind)
        made.names[question] = wires[name]
        data = list(group.values())
        if kind is Type.PTR:
            made.pointers[question] = tuple(
                Target(owner, wires[d.target], d.of_service) for d in data if isinstance(d, Pointer)
            )
        elif kind in _TARGETS:
            made.answers[question] = batch.with_addresses(kind, data, len(question))
        else:
            made.answers[question] = batch.answer(kind, data)
        if kind is not Type.PTR and kept_of(made.answers[question]) < len(data):
            made.cut.append(f"{kind.name} records of {name}")
        if kind is Type.CNAME:
            made.aliases[wires[name]] = wires[str(data[0])]
    return made


def pointing(targets: Sequence[Target], ttl: int) -> Answer:
    """Give the PTR answer of an address: the Service whose ClusterIP it is hides the endpoints that are there."""
    parts = wire.fitting(wire.record(wire.POINTER, Type.PTR, ttl, name) for name in led_to(targets))
    return Answer(_FOUND, wire.counts_of(len(parts)), b"".join(parts))


def led_to(targets: Sequence[Target]) -> list[bytes]:
    """Give the names that an address leads to, each once."""
    chosen = [target for target in targets if target.of_service][:1] or targets
    return list(dict.fromkeys(target.name for target in chosen))


def kept_of(answer: Answer) -> int:
    """Give the number of records in the answer section."""
    return int.from_bytes(answer.counts[:2], "big")


def question_of(name: bytes, kind: Type) -> bytes:
    """Give the question for a wire name and a type."""
    return name + kind.to_bytes(2, "big") + _CLASS_IN


def _grouped(records: Iterable[Record]) -> _Groups:
    """Put records of one name and type together, each datum once (SRV: each target and port once)."""
    groups: _Groups = {}
    for record in records:
        data = record.data
        identity = (data.target, data.port) if isinstance(data, Srv) else data
        groups.setdefault((record.name, record.type), {}).setdefault(identity, data)
    return groups


def _names(groups: _Groups) -> set[str]:
    """Give every name in records and their data."""
    found = {name for name, _ in groups}
    for (_, kind), data in groups.items():
        for datum in data.values():
            if isinstance(datum, Srv | Pointer):
                found.add(datum.target)
            elif isinstance(datum, str) and kind is not Type.TXT:
                found.add(datum)
    return found


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is compiled together: SRV and NS answers bring addresses of the same owner along."""

    groups: _Groups
    wires: dict[str, bytes]
    ttl: int

    def answer(self, kind: Type, data: list[Data]) -> Answer:
        parts = wire.fitting(self._record(wire.POINTER, kind, datum) for datum in data)
        stride = _FREE_ORDER.get(kind, 0) if len(parts) > 1 else 0
        return Answer(_FOUND, wire.counts_of(len(parts)), b"".join(parts), stride)

    def with_addresses(self, kind: Type, data: list[Data], question: int) -> Answer:
        """Give the SRV or NS answer to a question of some octets; the addresses' owners point to the targets."""
        parts = wire.fitting(self._record(wire.POINTER, kind, datum) for datum in data)
        at = wire.HEADER + question
        places: dict[str, int] = {}  # target -> where its name stands in the message
        for datum, part in zip(data, parts, strict=False):  # those that do not fit are left out
            places.setdefault(datum.target if isinstance(datum, Srv) else str(datum), at + _TARGETS[kind])
            at += len(part)
        glue = wire.fitting(
            (record for target, place in places.items() for record in self._addresses(target, place)),
            wire.LARGEST - sum(map(len, parts)),
        )
        return Answer(_FOUND, wire.counts_of(len(parts), 0, len(glue)), b"".join(parts + glue))

    def _addresses(self, target: str, place: int) -> Iterator[bytes]:
        owner = (0xC000 | place).to_bytes(2, "big") if place < _POINTER_REACH else self.wires[target]
        for kind in (Type.A, Type.AAAA):
            for datum in self.groups.get((target, kind), {}).values():
                yield self._record(owner, kind, datum)

    def _record(self, owner: bytes, kind: Type, datum: Data) -> bytes:
        return wire.record(owner, kind, self.ttl, self._octets(kind, datum))

    def _octets(self, kind: Type, datum: Data) -> bytes:
        if isinstance(datum, IPv4Address | IPv6Address):
            return datum.packed
        if isinstance(datum, Srv):
            return struct.pack("!HHH", 0, datum.weight, datum.port) + self.wires[datum.target]
        if isinstance(datum, Pointer):
            return self.wires[datum.target]
        return bytes((len(datum),)) + datum.encode() if kind is Type.TXT else self.wires[datum]
