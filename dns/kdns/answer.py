"""Prepared answers: a question's bytes go in, the answer's bytes come out, mostly with one dictionary look-up. Pure.

Records are compiled to wire form when their owner (a Service, the zone itself) changes. Misses are prepared
too: the SOA record that goes with NXDOMAIN and NODATA is kept per zone and per length of the name in front of it, for
its owner is a pointer into the question. What exists without records (empty non-terminals) answers NODATA, as
RFC 8020 asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TypeVar

from kdns import names, wire
from kdns.compiled import Key, Sets, question_of
from kdns.records import Data, Pointer, Record
from kdns.wire import Answer, Rcode, Type

REFRESH, RETRY, EXPIRE = 7200, 1800, 86400  # of the SOA, in seconds: those of CoreDNS
_SOA_TTL_MOST = 300
_CLASS_IN = b"\0\1"
_TRANSFERS = (Type.AXFR.to_bytes(2, "big"), Type.IXFR.to_bytes(2, "big"))
_FOUND = wire.flags_of(Rcode.NOERROR)
_NO_NAME = wire.flags_of(Rcode.NXDOMAIN)
_NO_DATA_COUNTS = wire.counts_of(authority=1)

T = TypeVar("T")


class Answers:
    """The answers of some zones, kept current owner by owner.

    `ttl` is that of every record, in seconds. Names below one of `open_names` are not for this table alone to deny. A
    look-up never raises, whatever the question's bytes.
    """

    def __init__(self, zones: Iterable[str], ttl: int, *, open_names: Iterable[str] = (), serial: int = 0) -> None:
        self.ttl = ttl
        self._sets: dict[bytes, Answer] = {}
        self._nodes: dict[bytes, int] = {}  # names that exist -> how many records and children keep them
        self._owned: dict[str, frozenset[Key]] = {}
        self._given: dict[str, tuple[str, ...]] = {}
        self._shared: dict[Key, dict[str, list[Data]]] = {}  # PTR: one address may be behind several Services
        self._aliases: dict[bytes, bytes] = {}
        self._open = tuple(names.to_wire(name) for name in open_names)
        self._zones = {names.to_wire(zone): _Zone(names.to_wire(zone), ttl) for zone in zones}
        for zone in self._zones:
            self._nodes[zone] = 1
        self.serial = -1
        self.touch(serial)

    def __len__(self) -> int:
        return len(self._sets)

    def touch(self, serial: int) -> None:
        """Set the SOA serial: the Unix time of the last change."""
        if serial == self.serial:
            return
        self.serial = serial
        for zone in self._zones.values():
            zone.renew(serial)
            self._sets[question_of(zone.name, Type.SOA)] = zone.soa()

    def hit(self, question: bytes) -> Answer | None:
        """Answer a question (lower-case) that has records."""
        return self._sets.get(question)

    def lookup(self, question: bytes) -> Answer | None:
        """Answer a question (lower-case); None where the name is in none of the zones, or only thought can tell."""
        return self._sets.get(question) or self.miss(question)

    def miss(self, question: bytes) -> Answer | None:
        """Give the answer to a question without records: NODATA where the name exists, else NXDOMAIN."""
        name = question[:-4]
        if question[-2:] != _CLASS_IN or question[-4:-2] in _TRANSFERS:
            return None
        found = self._zone_of(name)
        if found is None:
            return None
        zone, offset = found
        if name in self._nodes:
            return None if name in self._aliases else zone.nothing(offset, _FOUND)
        return None if name.endswith(self._open) else zone.nothing(offset, _NO_NAME)

    def deny(self, question: bytes) -> Answer | None:
        """Give the negative answer for a question in a zone, whatever is open; None outside of the zones."""
        found = self._zone_of(question[:-4])
        if found is None:
            return None
        zone, offset = found
        return zone.nothing(offset, _FOUND if question[:-4] in self._nodes else _NO_NAME)

    def alias(self, name: bytes) -> bytes | None:
        """Give the name that a name is an alias of (its CNAME), or None."""
        return self._aliases.get(name)

    def sharers(self, name: str) -> tuple[str, ...]:
        """Give the owners that have a PTR at a reverse name."""
        return tuple(self._shared.get((name, Type.PTR), ()))

    def exists(self, name: bytes) -> bool:
        """Whether a name has records, or names below it that have."""
        return name in self._nodes

    def serves(self, name: bytes) -> bool:
        """Whether a name is in one of the zones."""
        return self._zone_of(name) is not None

    def update(self, owner: str, records: Iterable[Record], empty: Iterable[str] = ()) -> None:
        """Make `records` all that `owner` has; `empty` are names that exist without records of their own.

        Raises `NameInvalid`, before anything has changed, where a name is too long for the protocol.
        """
        given, known = tuple(empty), self._given.get(owner, ())
        sets = Sets.of(records, given)
        before = self._owned.get(owner, frozenset())
        for name in given:
            self._add_node(sets.wires[name])
        for key in before - sets.groups.keys():
            self._drop(owner, key)
        for key in sets.groups:
            self._set(owner, key, sets, new=key not in before)
        for name in known:
            self._drop_node(names.to_wire(name))
        _keep(self._owned, owner, frozenset(sets.groups))
        _keep(self._given, owner, given)

    def remove(self, owner: str) -> None:
        """Take away all that an owner has."""
        self.update(owner, ())

    def _set(self, owner: str, key: Key, sets: Sets, *, new: bool) -> None:
        name, kind = sets.wires[key[0]], key[1]
        if new:
            self._add_node(name)
        if kind is Type.PTR:
            self._shared.setdefault(key, {})[owner] = sets.groups[key]
            self._set_pointers(key)
            return
        self._sets[question_of(name, kind)] = sets.answer(key, self.ttl)
        if kind is Type.CNAME:
            self._aliases[name] = sets.wires[str(sets.groups[key][0])]

    def _drop(self, owner: str, key: Key) -> None:
        name, kind = names.to_wire(key[0]), key[1]
        self._drop_node(name)
        if kind is Type.CNAME:
            del self._aliases[name]
        sharing = self._shared.get(key)
        if sharing is None:
            del self._sets[question_of(name, kind)]
            return
        del sharing[owner]
        if sharing:
            self._set_pointers(key)
        else:
            del self._shared[key], self._sets[question_of(name, kind)]

    def _set_pointers(self, key: Key) -> None:
        """Compile a PTR set: the Service whose ClusterIP an address is hides the endpoints at that address."""
        pointers = [
            datum for _, data in sorted(self._shared[key].items()) for datum in data if isinstance(datum, Pointer)
        ]
        chosen = [pointer for pointer in pointers if pointer.of_service][:1] or pointers
        sets = Sets.of(Record(key[0], Type.PTR, pointer) for pointer in chosen)
        self._sets[question_of(sets.wires[key[0]], Type.PTR)] = sets.answer(key, self.ttl)

    def _add_node(self, name: bytes) -> None:
        """Count one more reason for a name to exist; a name that begins to exist is a reason for its parent."""
        while True:
            count = self._nodes.get(name, 0)
            self._nodes[name] = count + 1
            if count or name == names.ROOT:
                return
            name = names.parent(name)

    def _drop_node(self, name: bytes) -> None:
        while True:
            count = self._nodes[name] - 1
            if count:
                self._nodes[name] = count
                return
            del self._nodes[name]
            if name == names.ROOT:
                return
            name = names.parent(name)

    def _zone_of(self, name: bytes) -> tuple[_Zone, int] | None:
        """Find the closest zone that holds a name, and how many octets of the name stand before it."""
        at, size = 0, len(name)
        while at < size:
            zone = self._zones.get(name[at:])
            if zone is not None:
                return zone, at
            length = name[at]
            if not 0 < length < 64:
                return None
            at += length + 1
        return None


class _Zone:
    """The negative answers of one zone: the SOA record, its owner pointing into the question."""

    def __init__(self, name: bytes, ttl: int) -> None:
        self.name = name
        self._ttl = min(ttl, _SOA_TTL_MOST)
        self._minimum = ttl
        self._serial = 0
        self._made: dict[tuple[int, int], Answer] = {}

    def renew(self, serial: int) -> None:
        """Take a new serial into all answers."""
        self._serial = serial
        self._made.clear()

    def nothing(self, offset: int, flags: int) -> Answer:
        """Give NXDOMAIN or NODATA for a name of which `offset` octets stand before the zone's name."""
        made = self._made.get((offset, flags))
        if made is None:
            tail = self._record(wire.HEADER + offset)
            made = self._made[offset, flags] = Answer(flags, _NO_DATA_COUNTS, tail)
        return made

    def soa(self) -> Answer:
        """Give the answer to the question for the SOA record itself."""
        return Answer(_FOUND, wire.counts_of(1), self._record(wire.HEADER))

    def _record(self, at: int) -> bytes:
        pointer = (0xC000 | at).to_bytes(2, "big")
        numbers = struct.pack("!IIIII", self._serial & 0xFFFFFFFF, REFRESH, RETRY, EXPIRE, self._minimum)
        data = b"\2ns\3dns" + pointer + b"\x0ahostmaster" + pointer + numbers
        return wire.record(pointer, Type.SOA, self._ttl, data)


def _keep(table: dict[str, T], owner: str, value: T) -> None:
    if value:
        table[owner] = value
    else:
        table.pop(owner, None)
