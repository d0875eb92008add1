"""Records and answers as bytes: how they are put together, cut to size, and read. Pure.

An `Answer` is everything that follows the question of a reply, prepared once and sent many times. Its names may point
(RFC 1035 section 4.1.4) to the question's name at offset 12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from operator import lt
from typing import NamedTuple

from kdns.errors import Malformed

HEADER = 12  # octets of a message before its question
POINTER = b"\xc0\x0c"  # the question's name
POINTER_REACH = 0x4000  # offsets from here on are out of a pointer's reach
CLASS_IN = 1
LARGEST = 65_535 - 1024  # octets of records that every reply over TCP has room for, besides its question and EDNS
_MOST_TRANSFERRED = 16384  # octets of records in one message of a zone transfer: what a connection takes at once

_QR, _AA, TRUNCATED, _RA, _AD = 0x8000, 0x0400, 0x0200, 0x0080, 0x0020  # flags
_RCODE = 0x000F
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of data


class Type(IntEnum):
    """The record types this server makes or looks into."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    IXFR = 251
    AXFR = 252


class Rcode(IntEnum):
    """The response codes this server gives; BADVERS needs the extended code of EDNS (RFC 6891)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Answer(NamedTuple):
    """What follows the question of a reply.

    `flags` are the header's, with the response code and without the bits echoed from the query; `counts` are the six
    octets of the header that count answer, authority and additional records; `stride` is the size in octets of each
    record where they are of one size and their order is free, else 0. `author` is the plug-in that gave it, as the
    chain writes it down.
    """

    flags: int
    counts: bytes
    tail: bytes
    stride: int = 0
    author: str = ""

    @property
    def rcode(self) -> int:
        """The response code, without the extension of EDNS."""
        return self.flags & 15


class Record(NamedTuple):
    """One record of a message that was read. Names in it are whole: nothing points elsewhere."""

    owner: bytes
    type: int
    ttl: int
    data: bytes
    section: int  # 0 answer, 1 authority, 2 additional
    ttl_at: int  # offset of the TTL in the message


def flags_of(rcode: int, *, authoritative: bool = True) -> int:
    """Give the flags of a reply with a response code."""
    return _QR | _RA | (_AA if authoritative else 0) | rcode


@lru_cache(maxsize=1024)
def counts_of(answers: int = 0, authority: int = 0, additional: int = 0) -> bytes:
    """Give the counts of an `Answer`; equal ones are the same object, for there are very many answers."""
    return struct.pack("!HHH", answers, authority, additional)


@lru_cache(maxsize=1024)
def one_more(counts: bytes) -> bytes:
    """Give counts with one more additional record."""
    return counts[:4] + (int.from_bytes(counts[4:], "big") + 1).to_bytes(2, "big")


def refusal(rcode: int) -> Answer:
    """Give the answer that says only why there is none."""
    return Answer(flags_of(rcode, authoritative=False), counts_of(), b"")


def tail_of(kind: Type) -> bytes:
    """Give the end of a question for a type: what follows the name."""
    return kind.to_bytes(2, "big") + CLASS_IN.to_bytes(2, "big")


SERVFAIL = refusal(Rcode.SERVFAIL)
REFUSED = refusal(Rcode.REFUSED)
LATER = refusal(Rcode.SERVFAIL)  # itself, no other like it: what a look-up gives where nobody may answer at once


def record(owner: bytes, kind: int, ttl: int, data: bytes) -> bytes:
    """Give one resource record; `owner` is a wire name or a pointer."""
    return owner + _FIXED.pack(kind, CLASS_IN, ttl, len(data)) + data


def fitting(records: list[bytes], room: int = LARGEST) -> list[bytes]:
    """Give the first records that one reply can carry."""
    if sum(map(len, records)) <= room:
        return records
    for count, each in enumerate(records):
        room -= len(each)
        if room < 0:
            return records[:count]
    raise AssertionError("unreachable")


def messages(records: Iterable[bytes]) -> Iterator[Answer]:
    """Put records that stand alone into as few answers as will hold them."""
    parts: list[bytes] = []
    size = 0
    for each in records:
        if size + len(each) > _MOST_TRANSFERRED:
            yield Answer(flags_of(Rcode.NOERROR), counts_of(len(parts)), b"".join(parts))
            parts, size = [], 0
        parts.append(each)
        size += len(each)
    yield Answer(flags_of(Rcode.NOERROR), counts_of(len(parts)), b"".join(parts))


def folded(question: bytes) -> bytes:
    """Give a question with its name in lower case, as answers are looked up by it."""
    return question[:-4].lower() + question[-4:]


def turned(answer: Answer, turn: int) -> Answer:
    """Give an answer whose records start elsewhere, so that clients that take the first spread over all."""
    at = turn * answer.stride % len(answer.tail)
    return answer._replace(tail=answer.tail[at:] + answer.tail[:at])


def fit(answer: Answer, question: int, room: int, *, all_sections: bool = False) -> Answer:
    """Cut an answer to `room` octets at a record's end.

    Without additional records nothing is lost that was asked for; TC says that more is (RFC 2181 section 9), or with
    `all_sections` that anything is.
    """
    kept = [0, 0, 0]
    end = 0
    for found, after in _walk(answer, question):
        if after > room:
            break
        kept[found.section] += 1
        end = after
    asked = struct.unpack("!HHH", answer.counts)
    lost = any(map(lt, kept, asked if all_sections else asked[:2]))
    return Answer(answer.flags | (TRUNCATED if lost else 0), counts_of(*kept), answer.tail[:end])


def records(answer: Answer, sent: bytes) -> list[Record]:
    """Read the records of an answer to the question `sent`; raises `Malformed`."""
    return [found for found, _ in _walk(answer, len(sent), sent)]


def answer_of(message: bytes, question: bytes) -> Answer | None:
    """Read a reply that came from elsewhere: None where it does not answer `question` (the id is not looked at).

    An OPT record is taken away, with what follows it: it speaks of one hop only (RFC 6891 section 6.1.1).
    """
    end = HEADER + len(question)
    if len(message) < end or not message[2] & 0x80 or message[4:6] != b"\0\1":
        return None
    if folded(message[HEADER:end]) != question:
        return None
    flags = int.from_bytes(message[2:4], "big")
    kept = flags & (_QR | TRUNCATED | _AD | _RCODE) | _RA
    whole = Answer(kept, message[6:12], message[end:])
    counts = [0, 0, 0]
    size = 0
    for found, after in _walk(whole, len(question), question):
        if found.type == Type.OPT:
            break
        counts[found.section] += 1
        size = after
    return Answer(kept, counts_of(*counts), whole.tail[:size])


def size_of(answer: Answer, question: int, count: int) -> int:
    """Give how many octets the first `count` records of the answer to a question of so many octets take."""
    return max((end for _, end in islice(_walk(answer, question), count)), default=0)


def is_truncated(answer: Answer) -> bool:
    """Whether TC says that there is more to be had over TCP."""
    return bool(answer.flags & TRUNCATED)


def name_at(data: bytes, at: int) -> tuple[bytes, int]:
    """Read a name that may be compressed: itself, whole and lower-case, and where it ends.

    Every pointer must lead further back than the one before, so that reading ends. Raises `Malformed`.
    """
    parts: list[bytes] = []
    end, size, floor = 0, 0, at
    while at < len(data):
        length = data[at]
        if length > 63:
            if length < 0xC0 or at + 1 >= len(data):
                break
            end = end or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            if at >= floor:
                break
            floor = at
            continue
        part = data[at : at + length + 1]
        size += length + 1
        if len(part) <= length or size > 255:
            break
        parts.append(part)
        at += length + 1
        if not length:
            return b"".join(parts).lower(), end or at
    raise Malformed("a name is malformed", Rcode.FORMERR)


# How many octets precede the names in the data of a type, and how many names follow: names that may be compressed
# (RFC 3597 section 4), and the SRV target, which old servers compress too.
NAMES_IN_DATA: dict[int, tuple[int, int]] = {
    Type.NS: (0, 1),
    Type.CNAME: (0, 1),
    Type.PTR: (0, 1),
    Type.MX: (2, 1),
    Type.SOA: (0, 2),
    Type.SRV: (6, 1),
}


def _walk(answer: Answer, question: int, sent: bytes = b"") -> Iterator[tuple[Record, int]]:
    """Go through the records of an answer; with each comes the offset in the tail at which it ends.

    Without `sent`, names are not looked into (their owners are then empty): enough to find where records end.
    """
    start = HEADER + question
    message = bytes(HEADER) + (sent or bytes(question)) + answer.tail
    at = start
    for section, count in enumerate(struct.unpack("!HHH", answer.counts)):
        for _ in range(count):
            owner, fixed = name_at(message, at) if sent else (b"", _name_end(message, at))
            if fixed + 10 > len(message):
                raise Malformed("a record is cut short", Rcode.FORMERR)
            kind, _, ttl, length = _FIXED.unpack_from(message, fixed)
            at = fixed + 10 + length
            if at > len(message):
                raise Malformed("a record's data is cut short", Rcode.FORMERR)
            data = _whole(message, fixed + 10, at, kind) if sent else b""
            yield Record(owner, kind, ttl, data, section, fixed + 4), at - start


def _name_end(data: bytes, at: int) -> int:
    while at < len(data):
        length = data[at]
        if length > 63:
            return at + 2
        at += length + 1
        if not length:
            return at
    raise Malformed("a name is cut short", Rcode.FORMERR)


def _whole(message: bytes, start: int, end: int, kind: int) -> bytes:
    """Give a record's data with its names written out."""
    skipped, count = NAMES_IN_DATA.get(kind, (0, 0))
    data = message[start : start + skipped]
    at = start + skipped
    for _ in range(count):
        name, at = name_at(message, at)
        data += name
    if at > end:
        raise Malformed("a name leaves its record", Rcode.FORMERR)
    return data + message[at:end]
