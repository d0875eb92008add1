"""The answer for a name that is an alias: its CNAME, and what its target has; by the RFCs, and as CoreDNS. Pure."""

from __future__ import annotations

from kdns import wire
from kdns.query import Query
from kdns.wire import Answer, Rcode, Type


def aliased(query: Query, target: bytes, ttl: int, asked: Query | None, found: Answer | None) -> Answer:
    """Put a CNAME before the answer `found` to the question `asked` for its target.

    The response code is that of the end of the chain (RFC 6604), and so is TC. Without `found`, the CNAME stands alone.
    """
    at = wire.HEADER + len(query.sent)
    parts = [wire.record(wire.POINTER, Type.CNAME, ttl, target)]
    if asked is None or found is None:
        return Answer(wire.flags_of(Rcode.NOERROR), wire.counts_of(1), parts[0])
    pointer = (0xC000 | at + 12).to_bytes(2, "big")  # the target's name: it follows a pointer and the fixed part
    kept = [0, 0]
    for record in wire.records(found, asked.sent):
        if record.section == 0 or record.type == Type.SOA:
            owner = pointer if record.owner == target else record.owner
            parts.append(wire.record(owner, record.type, record.ttl, record.data))
            kept[record.section] += 1
    cut = found.flags & wire.TRUNCATED
    return Answer(wire.flags_of(found.rcode) | cut, wire.counts_of(1 + kept[0], kept[1]), b"".join(parts))


def answers_behind(query: Query, target: bytes, ttl: int, asked: Query, found: Answer) -> Answer:
    """Put a CNAME before the answer section of `found` alone, as CoreDNS does: whatever became of it, all is well."""
    cut = found.flags & wire.TRUNCATED
    records = [each for each in wire.records(found, asked.sent) if each.section == 0]
    kept = [wire.record(each.owner, each.type, each.ttl, each.data) for each in records]
    bare = Answer(wire.flags_of(Rcode.NOERROR) | cut, wire.counts_of(len(kept)), b"".join(kept))
    return aliased(query, target, ttl, asked, bare)
