"""The records of one owner in wire form: each set of one name and type is the answer to one question. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from kdns import names, wire
from kdns.compression import compressed
from kdns.records import Records
from kdns.wire import POINTER, Answer, Rcode, Type, tail_of

_FOUND = wire.flags_of(Rcode.NOERROR)
_A, _AAAA, _CNAME, _NS, _PTR, _SRV = map(tail_of, (Type.A, Type.AAAA, Type.CNAME, Type.NS, Type.PTR, Type.SRV))
_BEFORE_DATA = 12  # octets of a record, its owner a pointer, before its data
_TARGET_AT = {_NS: _BEFORE_DATA, _SRV: _BEFORE_DATA + 6}  # octets of such a record before the name it leads to
_TAKING_TURNS = (_A, _AAAA)
_COUNTS = 6  # octets of the counts before the records
_ONE = wire.counts_of(1)


class Target(NamedTuple):
    """Where a PTR record of `owner` leads, on the wire; `of_service` as in `Pointer`. A tuple, for there are many."""

    owner: str
    name: bytes
    of_service: bool


@dataclass(frozen=True, slots=True)
class Compiled:
    """What an owner answers, by question. PTR records are not answers yet: an address may have several owners.

    Answers are packed, for there are very many: the counts of their records, and the records; see `unpacked`.
    """

    answers: dict[bytes, bytes] = field(default_factory=dict)
    pointers: dict[bytes, tuple[Target, ...]] = field(default_factory=dict)
    aliases: dict[bytes, bytes] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)  # sets that no reply can carry whole


def unpacked(question: bytes, packed: bytes) -> Answer:
    """Give the answer to a question; addresses may come in any order."""
    tail, count = packed[_COUNTS:], packed[0] << 8 | packed[1]
    stride = len(tail) // count if count > 1 and question.endswith(_TAKING_TURNS) else 0
    return Answer(_FOUND, packed[:_COUNTS], tail, stride)


def compiled(records: Records, ttl: int, owner: str = "") -> Compiled:
    """Compile all records of one owner.

    A set of records that not even a reply over TCP can carry is cut at what one can, and named in `cut`.
    """
    made = Compiled()
    making = _Making(records, ttl)
    for question, known in records.sets.items():
        tail, data = question[-4:], tuple(known)
        if tail in _TAKING_TURNS:
            answer = making.addresses(tail, data)
        elif tail in _TARGET_AT:
            answer = making.leading(question, data)
        else:
            own = records.ttls.get(question, ttl)
            answer = _plain([_fixed(tail, own, len(each)) + each for each in data])
        made.answers[question] = answer
        if len(data) > 1 and kept_of(answer) < len(data):
            made.cut.append(f"{Type(int.from_bytes(tail[:2], 'big')).name} records of {names.to_text(question[:-4])}")
        if tail == _CNAME:
            made.aliases[question[:-4]] = data[0]
    for question, pointers in records.pointers.items():
        made.pointers[question] = tuple([Target(owner, *each) for each in pointers])
    return made


def pointing(question: bytes, targets: Sequence[Target], ttl: int) -> bytes:
    """Give the PTR answer of an address: the Service whose ClusterIP it is hides the endpoints that are there."""
    at, places, records = wire.HEADER + len(question), dict[bytes, int](), []
    for name in led_to(targets):
        data = compressed(name, at + _BEFORE_DATA, places)
        records.append(_fixed(_PTR, ttl, len(data)) + data)
        at += _BEFORE_DATA + len(data)
    return _plain(records)


def led_to(targets: Sequence[Target]) -> list[bytes]:
    """Give the names that an address leads to, each once."""
    if len(targets) == 1:
        return [targets[0].name]
    chosen = [target for target in targets if target.of_service][:1] or targets
    return list(dict.fromkeys(target.name for target in chosen))


def sole_name(packed: bytes) -> bytes:
    """Give the name that the only record of a packed answer leads to."""
    return packed[_COUNTS + _BEFORE_DATA :]


def kept_of(packed: bytes) -> int:
    """Give the number of records in the answer section."""
    return packed[0] << 8 | packed[1]


class _Leading(NamedTuple):
    """SRV or NS records, as they are at whatever name, and what follows them: addresses of what they lead to.

    Each of `glue` is for one target: where its name stands after the question, that name, and its address records
    without their owner.
    """

    kept: int
    parts: bytes
    glue: list[tuple[int, bytes, list[bytes]]]


class _Making:
    """Makes the answers of some records; what several of them have in common is made once."""

    def __init__(self, records: Records, ttl: int) -> None:
        self._records = records
        self._ttl = ttl
        self._same: dict[tuple[bytes, ...], bytes] = {}  # addresses -> their answer, at whatever name
        self._led: dict[tuple[bytes, ...], _Leading] = {}  # data of SRV records -> what they come to
        self._at: dict[bytes, list[bytes]] = {}  # target -> its address records, without their owner

    def addresses(self, tail: bytes, data: tuple[bytes, ...]) -> bytes:
        """Give the answer of addresses."""
        if len(data) == 1:
            return _ONE + POINTER + _fixed(tail, self._ttl, len(data[0])) + data[0]
        known = self._same.get(data)
        if known is None:
            head = POINTER + _fixed(tail, self._ttl, len(data[0]))
            kept = data[: wire.LARGEST // (len(head) + len(data[0]))]
            known = self._same[data] = wire.counts_of(len(kept)) + head + head.join(kept)
        return known

    def leading(self, question: bytes, data: tuple[bytes, ...]) -> bytes:
        """Give the SRV or NS answer with the addresses of what it leads to; their owners point to the targets."""
        led = self._led.get(data)
        if led is None:
            led = self._led[data] = self._leading(question[-4:], data)
        start = wire.HEADER + len(question)
        glue = []
        for place, target, addresses in led.glue:
            at = start + place
            owner = (0xC000 | at).to_bytes(2, "big") if at < wire.POINTER_REACH else target
            glue += [owner + each for each in addresses]
        glue = wire.fitting(glue, wire.LARGEST - len(led.parts))
        return wire.counts_of(led.kept, 0, len(glue)) + led.parts + b"".join(glue)

    def _leading(self, tail: bytes, data: tuple[bytes, ...]) -> _Leading:
        before = _TARGET_AT[tail] - _BEFORE_DATA
        parts = wire.fitting([POINTER + _fixed(tail, self._ttl, len(each)) + each for each in data])
        places: dict[bytes, int] = {}  # target -> where its name stands after the question
        at = _TARGET_AT[tail]
        for each, part in zip(data, parts, strict=False):  # those that do not fit are left out
            places.setdefault(each[before:], at)
            at += len(part)
        glue = [(place, target, self._addresses_at(target)) for target, place in places.items()]
        return _Leading(len(parts), b"".join(parts), glue)

    def _addresses_at(self, target: bytes) -> list[bytes]:
        known = self._at.get(target)
        if known is None:
            sets, others = self._records.sets, self._records.elsewhere
            data = [(t, each) for t in _TAKING_TURNS for each in sets.get(target + t) or others.get(target + t, ())]
            known = self._at[target] = [_fixed(tail, self._ttl, len(each)) + each for tail, each in data]
        return known


def _plain(records: list[bytes]) -> bytes:
    """Give the answer of records that lack their owner, the name that is asked for."""
    parts = wire.fitting([POINTER + each for each in records])
    return wire.counts_of(len(parts)) + b"".join(parts)


@lru_cache(maxsize=4096)
def _fixed(tail: bytes, ttl: int, size: int) -> bytes:
    """Give the part of a record between its owner and its data of so many octets."""
    return tail + struct.pack("!IH", ttl, size)
