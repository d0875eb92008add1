"""What of an upstream's answer is about the question: the rest is left out, whoever put it there. Pure.

Kept are records at the name asked for and at names that its aliases lead to; in the authority section, those of the
zones that these names are in, and proofs of DNSSEC. Additional records are never needed: who asks, asks for them too.
"""

from __future__ import annotations

from collections.abc import Sequence

from kdns import names, wire
from kdns.wire import POINTER, Answer, Record, Type

_DNAME, _RRSIG, _NSEC, _NSEC3 = 39, 46, 47, 50
_ABOVE = {_DNAME, _RRSIG}  # may stand at a name above the one asked for (RFC 6672)
_PROOFS = {_RRSIG, _NSEC, _NSEC3}  # stand at names beside it


def scrubbed(answer: Answer, question: bytes) -> Answer:
    """Give an answer to `question` (lower-case) without what is not about it. Raises `Malformed`."""
    found = wire.records(answer, question)
    about = _about(found, question[:-4])
    above = {parent for name in about for parent in _parents(name)}
    kept = [record for record in found if _kept(record, about, above)]
    first = [record for record in found if record.section < 2]
    counts = wire.counts_of(*(sum(record.section == section for record in kept) for section in (0, 1)))
    if kept == first:  # nothing but additional records goes, and these come last: the octets before stay as they are
        return answer._replace(counts=counts, tail=answer.tail[: wire.size_of(answer, len(question), len(kept))])
    owners = {question[:-4]: POINTER}
    tail = b"".join(wire.record(owners.get(r.owner, r.owner), r.type, r.ttl, r.data) for r in kept)
    return answer._replace(counts=counts, tail=tail)


def _about(records: Sequence[Record], name: bytes) -> set[bytes]:
    """Give the name asked for and those that aliases lead to from there."""
    aliases = {r.owner: r.data for r in records if r.section == 0 and r.type == Type.CNAME}
    found = {name}
    while (name := aliases.get(name, name)) not in found:
        found.add(name)
    return found


def _parents(name: bytes) -> set[bytes]:
    found = {name}
    while name != names.ROOT:
        name = names.parent(name)
        found.add(name)
    return found


def _kept(record: Record, about: set[bytes], above: set[bytes]) -> bool:
    if record.section == 0:
        return record.owner in about or (record.type in _ABOVE and record.owner in above)
    return record.section == 1 and (record.owner in above or record.type in _PROOFS)
