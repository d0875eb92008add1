"""Prepared answers: a question's bytes go in, the answer's bytes come out, mostly with one dictionary look-up. Pure.

Records are compiled to wire form when their owner (a Service, the zone itself) changes. Misses are prepared
too: the SOA record that goes with NXDOMAIN and NODATA is kept per zone and per length of the name in front of it, for
its owner is a pointer into the question. What exists without records (empty non-terminals) answers NODATA, as
RFC 8020 asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TypeVar

from kdns import names, wire
from kdns.compiled import Target, compiled, kept_of, led_to, pointing, question_of
from kdns.existing import Existing
from kdns.records import Record
from kdns.wire import Answer, Rcode, Type

REFRESH, RETRY, EXPIRE = 7200, 1800, 86400  # of the SOA, in seconds: those of CoreDNS
_SOA_TTL_MOST = 300
_MOST_MISSED = 16384
_CLASS_IN = b"\0\1"
_CNAME, _PTR = (kind.to_bytes(2, "big") for kind in (Type.CNAME, Type.PTR))
_SOA, _TXT = (kind.to_bytes(2, "big") for kind in (Type.SOA, Type.TXT))
_ADDRESSED = [kind.to_bytes(2, "big") for kind in (Type.A, Type.AAAA, Type.SRV)]
_ARPA = b"\4arpa\0"
_TRANSFERS = (Type.AXFR.to_bytes(2, "big"), Type.IXFR.to_bytes(2, "big"))
_FOUND = wire.flags_of(Rcode.NOERROR)
_NO_NAME = wire.flags_of(Rcode.NXDOMAIN)
_NO_DATA_COUNTS = wire.counts_of(authority=1)

T = TypeVar("T")


class Answers:
    """The answers of some zones, kept current owner by owner.

    `ttl` is that of every record, in seconds. Names below one of `open_names` are not for this table alone to deny.
    `empty_names` says whether names exist that only have names below them (RFC 8020); CoreDNS denies them. A look-up
    never raises, whatever the question's bytes.
    """

    def __init__(
        self,
        zones: Iterable[str],
        ttl: int,
        *,
        open_names: Iterable[str] = (),
        serial: int = 0,
        empty_names: bool = True,
    ) -> None:
        self.ttl = ttl
        self._empty_names = empty_names
        self._sets: dict[bytes, Answer] = {}
        self._missed: dict[bytes, Answer] = {}  # valid until the next change
        self._existing = Existing()
        self._owned: dict[str, tuple[bytes, ...]] = {}  # questions
        self._given: dict[str, tuple[bytes, ...]] = {}  # names without records
        self._shared: dict[bytes, tuple[Target, ...]] = {}  # PTR: an address may have several owners
        self._aliases: dict[bytes, bytes] = {}
        self._open = tuple(names.to_wire(name) for name in open_names)
        made = [_Zone(names.to_wire(zone), ttl) for zone in zones]
        self._zones = sorted(made, key=lambda zone: len(zone.name), reverse=True)
        for zone in self._zones:
            self._existing.add(zone.name)
        self.serial = -1
        self.touch(serial)

    def __len__(self) -> int:
        return len(self._sets)

    def touch(self, serial: int) -> None:
        """Set the SOA serial: the Unix time of the last change."""
        if serial == self.serial:
            return
        self.serial = serial
        self._missed.clear()
        for zone in self._zones:
            zone.renew(serial)
            self._sets[question_of(zone.name, Type.SOA)] = zone.soa()

    def hit(self, question: bytes) -> Answer | None:
        """Answer a question (lower-case) that has records."""
        return self._sets.get(question)

    def lookup(self, question: bytes) -> Answer | None:
        """Answer a question (lower-case); None where the name is in none of the zones, or only thought can tell."""
        return self._sets.get(question) or self._missed.get(question) or self._miss(question)

    def _miss(self, question: bytes) -> Answer | None:
        """Give the answer to a question without records, and keep it until anything changes.

        Search paths make the same misses again and again.
        """
        made = self._missing(question)
        if made is not None:
            if len(self._missed) >= _MOST_MISSED:
                self._missed.clear()
            self._missed[question] = made
        return made

    def _missing(self, question: bytes) -> Answer | None:
        """Give NODATA where the name exists, else NXDOMAIN."""
        name = question[:-4]
        if question[-2:] != _CLASS_IN or question[-4:-2] in _TRANSFERS:
            return None
        found = self._zone_of(name)
        if found is None:
            return None
        zone, offset = found
        if self._there(question, zone):
            return None if name in self._aliases else zone.nothing(offset, _FOUND)
        return None if name.endswith(self._open) else zone.nothing(offset, _NO_NAME)

    def deny(self, question: bytes) -> Answer | None:
        """Give the negative answer for a question in a zone, whatever is open; None outside of the zones."""
        found = self._zone_of(question[:-4])
        if found is None:
            return None
        zone, offset = found
        return zone.nothing(offset, _FOUND if self._there(question, zone) else _NO_NAME)

    def alias(self, name: bytes) -> bytes | None:
        """Give the name that a name is an alias of (its CNAME), or None."""
        return self._aliases.get(name)

    def sharers(self, name: str) -> tuple[str, ...]:
        """Give the owners that have a PTR at a reverse name."""
        return tuple(target.owner for target in self._shared.get(question_of(names.to_wire(name), Type.PTR), ()))

    def whole(self, name: bytes) -> Iterator[bytes] | None:
        """Give every record of a zone with its owner's name written out, the SOA first and last; None: no such zone."""
        zone = next((zone for zone in self._zones if zone.name == name), None)
        if zone is None:
            return None
        return self._every_record(zone, dict(self._sets))

    def _every_record(self, zone: _Zone, sets: dict[bytes, Answer]) -> Iterator[bytes]:
        question = question_of(zone.name, Type.SOA)
        soa = _written(sets.pop(question), question)
        yield from soa
        for question, answer in sets.items():
            found = self._zone_of(question[:-4])
            if found is not None and found[0] is zone:
                yield from _written(answer, question)
        yield from soa

    def exists(self, name: bytes) -> bool:
        """Whether a name has records, or names below it that have."""
        return name in self._existing

    def serves(self, name: bytes) -> bool:
        """Whether a name is in one of the zones."""
        return self._zone_of(name) is not None

    def update(self, owner: str, records: Iterable[Record], empty: Iterable[str] = ()) -> list[str]:
        """Make `records` all that `owner` has; `empty` are names that exist without records of their own.

        Gives the sets that no reply can carry whole, which are cut. Raises `NameInvalid`, before anything has changed,
        where a name is too long for the protocol.
        """
        made = compiled(records, self.ttl, owner)
        self._missed.clear()
        given, known = tuple(names.to_wire(name) for name in empty), self._given.get(owner, ())
        before = frozenset(self._owned.get(owner, ()))
        for name in given:
            self._existing.add(name)
        for question in before - made.answers.keys() - made.pointers.keys():
            self._drop(owner, question)
        for question in (*made.answers, *made.pointers):
            if question not in before:
                self._existing.add(made.names[question])
        self._sets.update(made.answers)
        self._aliases.update(made.aliases)
        for question, targets in made.pointers.items():
            self._share(question, owner, targets)
            if kept_of(self._sets[question]) < len(led_to(self._shared[question])):
                made.cut.append(f"PTR records of {names.to_text(question[:-4])}")
        for name in known:
            self._existing.drop(name)
        _keep(self._owned, owner, (*made.answers, *made.pointers))
        _keep(self._given, owner, given)
        return made.cut

    def remove(self, owner: str) -> None:
        """Take away all that an owner has."""
        self.update(owner, ())

    def _there(self, question: bytes, zone: _Zone) -> bool:
        """Whether a question without records is about a name that exists, by the RFCs or as CoreDNS has it."""
        name, kind = question[:-4], question[-4:-2]
        if self._empty_names:
            return name in self._existing
        if kind == _SOA:
            return True
        if any(name in given for given in self._given.values()) or name == zone.name:
            return kind != _TXT
        if name.endswith(_ARPA):
            return False
        return name in self._aliases or any(name + kind + _CLASS_IN in self._sets for kind in _ADDRESSED)

    def _drop(self, owner: str, question: bytes) -> None:
        self._existing.drop(question[:-4])
        if question[-4:-2] == _CNAME:
            del self._aliases[question[:-4]]
        if question[-4:-2] == _PTR:
            self._share(question, owner, ())
        else:
            del self._sets[question]

    def _share(self, question: bytes, owner: str, targets: tuple[Target, ...]) -> None:
        """Make `targets` the part that an owner has in the PTR answer of an address; in the order of owners' names."""
        others = [target for target in self._shared.get(question, ()) if target.owner != owner]
        sharing = tuple(sorted([*others, *targets], key=_owner))
        if sharing:
            self._shared[question] = sharing
            self._sets[question] = pointing(sharing, self.ttl)
        else:
            del self._shared[question], self._sets[question]

    def _zone_of(self, name: bytes) -> tuple[_Zone, int] | None:
        """Find the closest zone that holds a name, and how many octets of the name stand before it."""
        for zone in self._zones:
            if name.endswith(zone.name):
                before, at = len(name) - len(zone.name), 0
                while at < before and name[at] < 64:
                    at += name[at] + 1
                if at == before:  # the zone's name begins where a label begins, and the labels before it are labels
                    return zone, at
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


def _written(answer: Answer, question: bytes) -> list[bytes]:
    """Give the answer section's records as they stand alone."""
    found = wire.records(answer, question)
    return [wire.record(each.owner, each.type, each.ttl, each.data) for each in found if each.section == 0]


def _owner(target: Target) -> str:
    return target.owner


def _keep(table: dict[str, T], owner: str, value: T) -> None:
    if value:
        table[owner] = value
    else:
        table.pop(owner, None)
