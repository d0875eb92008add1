"""Queries and the replies to them: read strictly, answered with prepared parts. Pure.

The question of a reply is copied from the query, so the letter case a client chose (draft-vixie-dnsext-dns0x20) comes
back as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kdns.errors import Malformed
from kdns.wire import HEADER, Answer, Rcode, Type, counts_of, fit, folded, name_at

CLASSIC_LIMIT = 512  # of a UDP reply to a client without EDNS, RFC 1035 section 4.2.1
EDNS_LIMIT = 1232  # of a UDP reply with EDNS: fits IPv6's smallest MTU, so it is never fragmented
STREAM_LIMIT = 65535  # of a reply over TCP
ONE_QUESTION = b"\0\1\0\0\0\0\0\0"  # the counts of the plainest query
ONE_WITH_OPT = b"\0\1\0\0\0\0\0\1"  # and of one with EDNS
OPT_START, OPT_END = b"\0\0\x29", bytes(6)  # the plainest OPT record, around its two octets of payload size
PLAIN_OPT = OPT_START + EDNS_LIMIT.to_bytes(2, "big") + OPT_END  # and the one in reply


COOKIE = 10  # an option of EDNS, RFC 7873
CLIENT_COOKIE = 8  # octets; what follows is the server's

_QR, _RD, _CD, _OPCODE = 0x8000, 0x0100, 0x0010, 0x7800
_DO = 0x8000  # in the flags of EDNS: the client wants DNSSEC records
_MOST_ADDITIONAL = 4  # records after the question of a query: OPT, a signature; more is nonsense
_ECHOED_BITS = _RD | _CD
_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of data

# The flags of ordinary queries (RD, AD or none), as sent, and which of them a reply repeats.
ECHOED = {(rd | low).to_bytes(2, "big"): (rd | low) & _ECHOED_BITS for rd in (0, _RD) for low in (0, 0x20)}


@dataclass(frozen=True, slots=True)
class Query:
    """A question that was asked: `sent` as its sender wrote it, `question` the same with its name in lower case."""

    id: int
    flags: int
    sent: bytes
    question: bytes
    edns: bool = False
    payload: int = CLASSIC_LIMIT
    dnssec: bool = False
    aliases: tuple[bytes, ...] = ()  # names followed to come here
    client: str = ""  # the address it came from
    options: bytes = b""  # of EDNS, as they were sent

    @property
    def name(self) -> bytes:
        """The name asked for, lower-case, on the wire."""
        return self.question[:-4]

    @property
    def type(self) -> int:
        """The record type asked for."""
        return int.from_bytes(self.question[-4:-2], "big")

    @property
    def hops(self) -> int:
        """How many aliases were followed to come here."""
        return len(self.aliases)

    @property
    def checking_disabled(self) -> bool:
        """Whether the client wants no DNSSEC validation upstream (RFC 4035 section 3.2.2)."""
        return bool(self.flags & _CD)

    @property
    def limit(self) -> int:
        """How many octets of a reply over UDP the client takes."""
        return max(CLASSIC_LIMIT, self.payload) if self.edns else CLASSIC_LIMIT


def asking(name: bytes, kind: int, like: Query) -> Query:
    """Give the question for another name and type that comes up while answering `like`."""
    question = name + kind.to_bytes(2, "big") + b"\0\1"
    aliases = (*like.aliases, like.name)
    return Query(0, like.flags, question, folded(question), dnssec=like.dnssec, aliases=aliases, client=like.client)


def parse(data: bytes) -> Query | None:
    """Read a query. None is for what deserves no reply at all; `Malformed` says what reply it deserves.

    Replies are never replied to (two servers would otherwise talk for ever), nor is what has no whole header.
    """
    if len(data) < HEADER or data[2] & 0x80:
        return None
    ident, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    if flags & _OPCODE:
        raise Malformed("only standard queries are served", Rcode.NOTIMP)
    if questions != 1 or answers or authority or additional > _MOST_ADDITIONAL:
        raise Malformed("a query has one question and no answers", Rcode.FORMERR)
    end = _plain_name_end(data, HEADER) + 4
    if end > len(data):
        raise Malformed("the question is cut short", Rcode.FORMERR)
    sent = data[HEADER:end]
    query = Query(ident, flags, sent, folded(sent))
    return _with_options(query, data, end, additional)


def render(ident: bytes, echoed: int, sent: bytes, answer: Answer) -> bytes:
    """Give the reply to a query without EDNS. `ident` is its two octets of identity, `echoed` its repeated flags."""
    return ident + (answer.flags | echoed).to_bytes(2, "big") + b"\0\1" + answer.counts + sent + answer.tail


def reply(query: Query, answer: Answer, limit: int, options: bytes = b"", *, all_sections: bool = False) -> bytes:
    """Give the whole reply to a query, at most `limit` octets long, with an OPT record where the query has one.

    See `wire.fit` for `all_sections`.
    """
    room = limit - HEADER - len(query.sent) - (11 + len(options) if query.edns else 0)
    if len(answer.tail) > room:
        answer = fit(answer, len(query.sent), room, all_sections=all_sections)
    if query.edns:
        answer = _with_opt(answer, Rcode.NOERROR, dnssec=query.dnssec, options=options)
    return render(query.id.to_bytes(2, "big"), query.flags & _ECHOED_BITS, query.sent, answer)


def complaint(data: bytes, rcode: int) -> bytes:
    """Give the reply to a query that could not be read: its header, and nothing that it could have amplified."""
    flags = int.from_bytes(data[2:4], "big") & (_OPCODE | _RD)
    if rcode == Rcode.BADVERS:  # the question could be read, or its version would not be known
        answer = _with_opt(Answer(_QR, counts_of(), b""), Rcode.BADVERS, dnssec=False)
        return render(data[:2], flags, data[HEADER : _plain_name_end(data, HEADER) + 4], answer)
    return data[:2] + (flags | _QR | rcode).to_bytes(2, "big") + bytes(8)


def question_for(query: Query, ident: int) -> bytes:
    """Give the message that asks an upstream `query`, with EDNS (RFC 6891)."""
    head = _HEADER.pack(ident, _RD | (query.flags & _CD), 1, 0, 0, 1)
    return head + query.sent + _opt(0, dnssec=query.dnssec)


def _with_opt(answer: Answer, rcode: int, *, dnssec: bool, options: bytes = b"") -> Answer:
    first, second, third = struct.unpack("!HHH", answer.counts)
    tail = answer.tail + _opt(rcode >> 4, dnssec=dnssec, options=options)
    return Answer(answer.flags, counts_of(first, second, third + 1), tail)


def _opt(extended_rcode: int, *, dnssec: bool, options: bytes = b"") -> bytes:
    flags = _DO if dnssec else 0
    return b"\0" + struct.pack("!HHBBHH", Type.OPT, EDNS_LIMIT, extended_rcode, 0, flags, len(options)) + options


def _with_options(query: Query, data: bytes, at: int, additional: int) -> Query:
    """Read what follows the question of a query: at most one OPT record, and nothing after the last record."""
    for _ in range(additional):
        owner, start = name_at(data, at)
        if start + 10 > len(data):
            raise Malformed("a record is cut short", Rcode.FORMERR)
        kind, payload, options, length = _FIXED.unpack_from(data, start)
        at = start + 10 + length
        if at > len(data):
            raise Malformed("a record's data is cut short", Rcode.FORMERR)
        if kind != Type.OPT:
            continue
        if query.edns or owner != b"\0":
            raise Malformed("one OPT record, at the root, is allowed", Rcode.FORMERR)
        if options >> 16 & 0xFF:
            raise Malformed("only version 0 of EDNS is known", Rcode.BADVERS)
        given = data[start + 10 : at]
        _check_options(given)
        query = replace(query, edns=True, payload=payload, dnssec=bool(options & _DO), options=given)
    if at != len(data):
        raise Malformed("octets follow the last record", Rcode.FORMERR)
    return query


def options_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Go through the options of EDNS; dnslib would not see an empty one that comes last. Raises `Malformed`."""
    at = 0
    while at < len(data):
        code, length = struct.unpack_from("!HH", data, at) if at + 4 <= len(data) else (0, len(data))
        at += 4 + length
        if at > len(data):
            raise Malformed("an option of EDNS is cut short", Rcode.FORMERR)
        yield code, data[at - length : at]


def _check_options(data: bytes) -> None:
    for code, given in options_of(data):
        if code == COOKIE and not (len(given) == CLIENT_COOKIE or 16 <= len(given) <= 40):
            raise Malformed("a cookie has 8 octets, or 16 to 40 (RFC 7873 section 5.2.2)", Rcode.FORMERR)


def _plain_name_end(data: bytes, at: int) -> int:
    """Find the end of a name that is not compressed."""
    start = at
    while at < len(data):
        length = data[at]
        at += length + 1
        if length > 63 or at - start > 255:
            break
        if not length:
            return at
    raise Malformed("the question's name is not a plain name", Rcode.FORMERR)
