"""Prepared answers: a question's bytes go in, the answer's bytes come out, mostly with one dictionary look-up. Pure.

Records are compiled to wire form when their owner (a Service, the zone itself) changes. Misses are prepared
too: the SOA record that goes with NXDOMAIN and NODATA is kept per zone and per length of the name in front of it, for
its owner is a pointer into the question. What exists without records (empty non-terminals) answers NODATA, as
RFC 8020 asks.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from kdns import names, portnames, wire
from kdns.compiled import Target, compiled, kept_of, led_to, pointing, sole_name, unpacked
from kdns.existing import Existing
from kdns.likeness import STANDARD, Likeness
from kdns.records import Records
from kdns.wire import Answer, Rcode, Type, tail_of

REFRESH, RETRY, EXPIRE = 7200, 1800, 86400  # of the SOA, in seconds: those of CoreDNS
_SOA_TTL_MOST = 300
_MOST_MOVED = 64  # answers of up to 64 KB
_CLASS_IN = b"\0\1"
_CNAME, _PTR, _SOA, _TXT = map(tail_of, (Type.CNAME, Type.PTR, Type.SOA, Type.TXT))
_A, _AAAA, _NS, _SRV = map(tail_of, (Type.A, Type.AAAA, Type.NS, Type.SRV))
_ADDRESSED = (_A, _AAAA, _SRV)
_KINDS = (_A, _AAAA, _SRV, _PTR, _CNAME, _TXT, _NS, _SOA)
_ARPA = b"\4arpa\0"
_TRANSFERS = tuple(map(tail_of, (Type.AXFR, Type.IXFR)))
_FOUND = wire.flags_of(Rcode.NOERROR)
_NO_NAME = wire.flags_of(Rcode.NXDOMAIN)
_NO_DATA_COUNTS = wire.counts_of(authority=1)

T = TypeVar("T")


class Answers:
    """The answers of some zones, kept current owner by owner.

    `ttl` is that of every record, in seconds. Names below one of `open_names` are not for this table alone to deny.
    A look-up never raises, whatever the question's bytes.
    """

    def __init__(
        self,
        zones: Iterable[str],
        ttl: int,
        *,
        open_names: Iterable[str] = (),
        serial: int = 0,
        likeness: Likeness = STANDARD,
    ) -> None:
        self.ttl = ttl
        self._likeness = likeness
        self._sets: dict[bytes, bytes] = {}  # packed; see `Compiled`
        self._above = Existing()
        self._owned: dict[str, tuple[bytes, ...]] = {}  # questions
        self._given: dict[str, tuple[bytes, ...]] = {}  # names without records
        self._givers: Counter[bytes] = Counter()  # how many owners gave each of them
        self._shared: dict[bytes, str | tuple[Target, ...]] = {}  # PTR: see `_targets`
        self._aliases: dict[bytes, bytes] = {}
        self._moved: dict[bytes, Answer] = {}  # at names that have none of their own, until anything changes
        self._open = tuple(names.to_wire(name) for name in open_names)
        made = [_Zone(names.to_wire(zone), ttl) for zone in zones]
        self._zones = sorted(made, key=lambda zone: len(zone.name), reverse=True)
        for zone in self._zones:
            self._above.add(zone.name)
        self.serial = -1
        self.touch(serial)

    def __len__(self) -> int:
        return len(self._sets)

    def touch(self, serial: int) -> None:
        """Set the SOA serial: the Unix time of the last change."""
        if serial == self.serial:
            return
        self.serial = serial
        self._moved.clear()
        for zone in self._zones:
            zone.renew(serial)
            self._sets[zone.name + _SOA] = zone.soa()

    def hit(self, question: bytes) -> Answer | None:
        """Answer a question (lower-case) that has records."""
        packed = self._sets.get(question)
        return unpacked(question, packed) if packed else None

    def lookup(self, question: bytes) -> Answer | None:
        """Answer a question (lower-case); None where the name is in none of the zones, or only thought can tell."""
        return self.hit(question) or self.miss(question)

    def miss(self, question: bytes) -> Answer | None:
        """Answer a question without records: NODATA where the name exists, else NXDOMAIN."""
        name = question[:-4]
        if question[-2:] != _CLASS_IN or question[-4:] in _TRANSFERS:
            return None
        found = self._zone_of(name)
        if found is None:
            return None
        zone, offset = found
        if self._there(question, zone):
            return None if name in self._aliases else zone.nothing(offset, _FOUND)
        port = self._port(question, zone, offset)
        if port is not None:
            return port
        if self._likeness.below_addresses and question.endswith(_PTR):
            address = names.without_labels_below(name)
            if address is not None and (known := self.hit(address + _PTR)):
                return self._at_another(question, known, address + _PTR)
        return None if name.endswith(self._open) else zone.nothing(offset, _NO_NAME)

    def _port(self, question: bytes, zone: _Zone, offset: int) -> Answer | None:
        """Answer at the name of a port whose underscores were left out."""
        for name in portnames.marked(question[:-4]):
            if self._leads_somewhere(name) or name in self._above:
                there = name + question[-4:]
                known = self.hit(there)
                if known is not None:
                    return self._at_another(question, known, there)
                return zone.nothing(offset, _FOUND) if self._there(there, zone) else None
        return None

    def _at_another(self, question: bytes, known: Answer, there: bytes) -> Answer:
        """Give the answer to the question `there` as one to this question: many records take long, so it is kept."""
        moved = self._moved.get(question)
        if moved is None:
            if len(self._moved) >= _MOST_MOVED:
                self._moved.clear()
            moved = self._moved[question] = portnames.moved(known, there, question)
        return moved

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

    def addresses(self, name: bytes) -> tuple[bytes, ...]:
        """Give the packed addresses that a name has."""
        answers = [(name + tail, self.hit(name + tail)) for tail in (_A, _AAAA)]
        return tuple(each.data for question, found in answers if found for each in wire.records(found, question))

    def sharers(self, address: bytes) -> tuple[str, ...]:
        """Give the owners that have a PTR for a packed address."""
        return tuple(target.owner for target in self._targets(names.reverse_wire(address) + _PTR))

    def reverse_names(self, owner: str) -> Iterator[bytes]:
        """Give the names at which an owner has PTR records."""
        return (question[:-4] for question in self._owned.get(owner, ()) if question.endswith(_PTR))

    def gives(self, owner: str, name: bytes) -> bool:
        """Whether a name exists through an owner: by records at it or below it, or because the owner said so."""
        if name in self._given.get(owner, ()):
            return True
        return any(question[:-4].endswith(name) for question in self._owned.get(owner, ()))

    def whole(self, name: bytes) -> Iterator[bytes] | None:
        """Give every record of a zone with its owner's name written out, the SOA first and last; None: no such zone."""
        zone = next((zone for zone in self._zones if zone.name == name), None)
        if zone is None:
            return None
        return self._every_record(zone, dict(self._sets))

    def _every_record(self, zone: _Zone, sets: dict[bytes, bytes]) -> Iterator[bytes]:
        question = zone.name + _SOA
        soa = _written(sets.pop(question), question)
        yield from soa
        for question, packed in sets.items():
            found = self._zone_of(question[:-4])
            if found is not None and found[0] is zone:
                yield from _written(packed, question)
        yield from soa

    def exists(self, name: bytes) -> bool:
        """Whether a name has records, or names below it that have."""
        return name in self._above or any(name + tail in self._sets for tail in _KINDS)

    def serves(self, name: bytes) -> bool:
        """Whether a name is in one of the zones."""
        return self._zone_of(name) is not None

    def update(self, owner: str, records: Records, empty: Iterable[str] = ()) -> list[str]:
        """Make `records` all that `owner` has; `empty` are names that exist without records of their own.

        Gives the sets that no reply can carry whole, which are cut.
        """
        self._moved.clear()
        made = compiled(records, self.ttl, owner)
        given = tuple(names.to_wire(name) for name in empty)
        owned, before = (*records.sets, *records.pointers), self._owned.get(owner, ())
        for name in given:
            self._above.add(name)
            self._givers[name] += 1
        for question in set(before).difference(owned) if before else ():
            self._drop(owner, question)
        for question in set(owned).difference(before) if before else owned:
            self._above.add(names.parent(question[:-4]))
        self._sets.update(made.answers)
        self._aliases.update(made.aliases)
        for question, targets in made.pointers.items():
            if self._share(question, owner, targets):
                made.cut.append(f"PTR records of {names.to_text(question[:-4])}")
        for name in self._given.get(owner, ()):
            self._above.drop(name)
            self._givers[name] -= 1
            if not self._givers[name]:
                del self._givers[name]
        _keep(self._owned, owner, owned)
        _keep(self._given, owner, given)
        return made.cut

    def remove(self, owner: str) -> None:
        """Take away all that an owner has."""
        self.update(owner, Records())

    def _there(self, question: bytes, zone: _Zone) -> bool:
        """Whether a question without records is about a name that exists, by the RFCs or as CoreDNS has it."""
        name, kind = question[:-4], question[-4:]
        if kind == _SOA and self._likeness.has_soa_everywhere:
            return True
        if not self._likeness.denies_empty_names:
            return self.exists(name)
        if name in self._givers or name == zone.name:
            return kind != _TXT
        if name.endswith(_ARPA):
            return False
        return name in self._aliases or self._leads_somewhere(name)

    def _leads_somewhere(self, name: bytes) -> bool:
        return any(name + tail in self._sets for tail in _ADDRESSED)

    def _drop(self, owner: str, question: bytes) -> None:
        self._above.drop(names.parent(question[:-4]))
        if question.endswith(_CNAME):
            del self._aliases[question[:-4]]
        if question.endswith(_PTR):
            self._share(question, owner, ())
        else:
            del self._sets[question]

    def _share(self, question: bytes, owner: str, targets: tuple[Target, ...]) -> bool:
        """Make `targets` the part that an owner has in the PTR answer of an address; in the order of owners' names.

        Gives whether there are more than a reply can carry.
        """
        others = [target for target in self._targets(question) if target.owner != owner]
        sharing = tuple(sorted([*others, *targets], key=_owner)) if others else targets
        if not sharing:
            del self._shared[question], self._sets[question]
            return False
        alone = len(sharing) == 1 and not sharing[0].of_service
        self._shared[question] = sharing[0].owner if alone else sharing
        packed = self._sets[question] = pointing(question, sharing, self.ttl)
        return len(sharing) > 1 and kept_of(packed) < len(led_to(sharing))

    def _targets(self, question: bytes) -> tuple[Target, ...]:
        """Give where the PTR records of an address lead. Most lead to one endpoint: of it the owner is kept alone."""
        known = self._shared.get(question, ())
        return (Target(known, sole_name(self._sets[question]), of_service=False),) if isinstance(known, str) else known

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

    def soa(self) -> bytes:
        """Give the answer, packed, to the question for the SOA record itself."""
        return wire.counts_of(1) + self._record(wire.HEADER)

    def _record(self, at: int) -> bytes:
        pointer = (0xC000 | at).to_bytes(2, "big")
        numbers = struct.pack("!IIIII", self._serial & 0xFFFFFFFF, REFRESH, RETRY, EXPIRE, self._minimum)
        data = b"\2ns\3dns" + pointer + b"\x0ahostmaster" + pointer + numbers
        return wire.record(pointer, Type.SOA, self._ttl, data)


def _written(packed: bytes, question: bytes) -> list[bytes]:
    """Give the answer section's records as they stand alone."""
    found = wire.records(unpacked(question, packed), question)
    return [wire.record(each.owner, each.type, each.ttl, each.data) for each in found if each.section == 0]


def _owner(target: Target) -> str:
    return target.owner


def _keep(table: dict[str, T], owner: str, value: T) -> None:
    if value:
        table[owner] = value
    else:
        table.pop(owner, None)
