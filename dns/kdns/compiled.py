"""Records in wire form: the sets of one owner, each the answer to one question. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from kdns import names, wire
from kdns.records import Data, Pointer, Record, Srv
from kdns.wire import Answer, Rcode, Type

Key = tuple[str, Type]

_FOUND = wire.flags_of(Rcode.NOERROR)
_FREE_ORDER = {Type.A: 16, Type.AAAA: 28}  # octets of one such record behind a pointer
_SRV_TARGET = 18  # octets of an SRV record before its target: pointer, fixed part, priority, weight, port
_POINTER_REACH = 0x4000


@dataclass(frozen=True, slots=True)
class Sets:
    """Record sets by name and type, and the wire form of every name in them."""

    groups: dict[Key, list[Data]]
    wires: dict[str, bytes]

    @classmethod
    def of(cls, records: Iterable[Record], others: Iterable[str] = ()) -> Sets:
        """Put records of one name and type together, each datum once (SRV: each target and port once).

        `others` are names that have no records. Raises `NameInvalid` where a name is too long for the protocol.
        """
        groups: dict[Key, dict[object, Data]] = {}
        for record in records:
            data = record.data
            identity = (data.target, data.port) if isinstance(data, Srv) else data
            groups.setdefault((record.name, record.type), {}).setdefault(identity, data)
        sets = {key: list(data.values()) for key, data in groups.items()}
        every = {*(name for name, _ in sets), *_targets(sets), *others}
        return cls(sets, {name: names.to_wire(name) for name in every})

    def answer(self, key: Key, ttl: int) -> Answer:
        """Give the answer to one question. SRV brings the addresses of its targets along."""
        name, kind = key
        parts: list[bytes] = []
        at = wire.HEADER + len(self.wires[name]) + 4
        targets: dict[str, int] = {}  # SRV target -> where its name stands in the message
        for datum in self.groups[key]:
            part = wire.record(wire.POINTER, kind, ttl, self._data(datum, kind))
            parts.append(part)
            if isinstance(datum, Srv):
                targets.setdefault(datum.target, at + _SRV_TARGET)
            at += len(part)
        glue = [record for target, place in targets.items() for record in self._glue(target, place, ttl)]
        stride = _FREE_ORDER.get(kind, 0) if len(parts) > 1 else 0
        return Answer(_FOUND, wire.counts_of(len(parts), 0, len(glue)), b"".join(parts + glue), stride)

    def _glue(self, target: str, place: int, ttl: int) -> Iterator[bytes]:
        owner = (0xC000 | place).to_bytes(2, "big") if place < _POINTER_REACH else self.wires[target]
        for kind in (Type.A, Type.AAAA):
            for datum in self.groups.get((target, kind), ()):
                yield wire.record(owner, kind, ttl, self._data(datum, kind))

    def _data(self, datum: Data, kind: Type) -> bytes:
        if isinstance(datum, IPv4Address | IPv6Address):
            return datum.packed
        if isinstance(datum, Srv):
            return struct.pack("!HHH", 0, datum.weight, datum.port) + self.wires[datum.target]
        if isinstance(datum, Pointer):
            return self.wires[datum.target]
        return bytes((len(datum),)) + datum.encode() if kind is Type.TXT else self.wires[datum]


def question_of(name: bytes, kind: Type) -> bytes:
    """Give the question for a wire name and a type."""
    return name + kind.to_bytes(2, "big") + wire.CLASS_IN.to_bytes(2, "big")


def _targets(groups: dict[Key, list[Data]]) -> Iterator[str]:
    """Give the names that stand in data."""
    for (_, kind), data in groups.items():
        for datum in data:
            if isinstance(datum, Srv | Pointer):
                yield datum.target
            elif isinstance(datum, str) and kind is not Type.TXT:
                yield datum
