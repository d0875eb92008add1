"""The answer for a name that is an alias: its CNAME, and what its target has; by the RFCs, and as CoreDNS. Pure."""

from __future__ import annotations

from kdns import compression, wire
from kdns.query import Query
from kdns.wire import Answer, Rcode, Record, Type

_RCODE = 15  # of flags


def aliased(query: Query, target: bytes, ttl: int, asked: Query | None, found: Answer | None) -> Answer:
    """Put a CNAME before the answer `found` to the question `asked` for its target.

    The response code is that of the end of the chain (RFC 6604), and so is TC. Without `found`, the CNAME stands alone.
    """
    records = wire.records(found, asked.sent) if asked and found else []
    kept = [each for each in records if each.section == 0 or each.type == Type.SOA]
    return _behind(query, target, ttl, kept, found.flags if found else wire.flags_of(Rcode.NOERROR))


def answers_behind(query: Query, target: bytes, ttl: int, asked: Query, found: Answer) -> Answer:
    """Put a CNAME before the answer section of `found` alone, as CoreDNS does: whatever became of it, all is well."""
    kept = [each for each in wire.records(found, asked.sent) if each.section == 0]
    return _behind(query, target, ttl, kept, found.flags & wire.TRUNCATED)


def _behind(query: Query, target: bytes, ttl: int, records: list[Record], flags: int) -> Answer:
    alias = Record(query.name, Type.CNAME, ttl, target, 0, 0)
    answers = 1 + sum(record.section == 0 for record in records)
    counts = wire.counts_of(answers, 1 + len(records) - answers)
    flags = wire.flags_of(flags & _RCODE) | flags & wire.TRUNCATED
    return Answer(flags, counts, compression.after(query.question, [alias, *records]))
