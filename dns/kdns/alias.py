"""The answer for a name that is an alias: its CNAME, and what its target has; by the RFCs, and as CoreDNS. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kdns import compression, wire
from kdns.query import Query, asking
from kdns.wire import SERVFAIL, Answer, Rcode, Record, Type

Again = Callable[[Query], Awaitable[Answer]]  # asks the whole server
_RCODE = 15  # of flags


def aliased(query: Query, target: bytes, ttl: int, asked: Query | None, found: Answer | None) -> Answer:
    """Put a CNAME before the answer `found` to the question `asked` for its target.

    The response code is that of the end of the chain (RFC 6604), and so is TC. Without `found`, the CNAME stands alone.
    """
    records = wire.records(found, asked.sent) if asked and found else []
    kept = [each for each in records if each.section == 0 or each.type == Type.SOA]
    return _behind(query, target, ttl, kept, found.flags if found else wire.flags_of(Rcode.NOERROR))


async def followed(query: Query, target: bytes, ttl: int, again: Again) -> Answer:
    """Answer for an alias: the CNAME, and what the whole server says of its target.

    Aliases that lead back are an error (RFC 1034 section 3.6.2): SERVFAIL, with each of them once.
    """
    if query.name in query.aliases:  # a rewrite led back
        return SERVFAIL
    if target == query.name or target in query.aliases:
        return aliased(query, target, ttl, None, None)._replace(flags=wire.flags_of(Rcode.SERVFAIL))
    asked = asking(target, query.type, query)
    found = await again(asked)
    if found.rcode == Rcode.REFUSED:  # nobody here resolves such names; the client may know who does
        return aliased(query, target, ttl, None, None)
    return aliased(query, target, ttl, asked, found)


async def followed_to_addresses(query: Query, target: bytes, ttl: int, again: Again, zone: bytes) -> Answer | None:
    """Answer as CoreDNS does: addresses alone, and the CNAME before them; None where that is no data.

    A target out of the zone has its CNAME whatever became of it, and all is well.
    """
    if query.type not in (Type.A, Type.AAAA) or target.endswith(query.name) or target in query.aliases:
        return None
    asked = asking(target, query.type, query)
    found = await again(asked)
    kept = [each for each in wire.records(found, asked.sent) if each.section == 0]
    if not kept and target.endswith(zone):
        return None
    return _behind(query, target, ttl, kept, found.flags & wire.TRUNCATED)


def _behind(query: Query, target: bytes, ttl: int, records: list[Record], flags: int) -> Answer:
    alias = Record(query.name, Type.CNAME, ttl, target, 0, 0)
    answers = 1 + sum(record.section == 0 for record in records)
    counts = wire.counts_of(answers, 1 + len(records) - answers)
    flags = wire.flags_of(flags & _RCODE) | flags & wire.TRUNCATED
    return Answer(flags, counts, compression.after(query.question, [alias, *records]))
