"""Names that point back to where they stood before in a message (RFC 1035 section 4.1.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kdns import wire
from kdns.wire import NAMES_IN_DATA, POINTER_REACH, Record, Type

_FIXED = 10  # octets of a record between its owner and its data


def compressed(name: bytes, at: int, places: dict[bytes, int]) -> bytes:
    """Give a name that stands at an offset, as short as the `places` of the ends of names so far make it."""
    start = 0
    while name[start]:
        end = name[start:]
        if end in places:
            return name[:start] + (0xC000 | places[end]).to_bytes(2, "big")
        if at + start < POINTER_REACH:
            places[end] = at + start
        start += name[start] + 1
    return name


def after(question: bytes, records: Iterable[Record]) -> bytes:
    """Give records with whole names as they follow a question (its name in lower case) in a message."""
    places: dict[bytes, int] = {}
    compressed(question[:-4], wire.HEADER, places)
    parts, at = [], wire.HEADER + len(question)
    for record in records:
        owner = compressed(record.owner, at, places)
        data = _data(record, at + len(owner) + _FIXED, places)
        parts.append(wire.record(owner, record.type, record.ttl, data))
        at += len(parts[-1])
    return b"".join(parts)


def _data(record: Record, at: int, places: dict[bytes, int]) -> bytes:
    """Give a record's data; others may point to the target of SRV, but it is written out (RFC 2782)."""
    start, count = NAMES_IN_DATA.get(record.type, (0, 0))
    data = record.data[:start]
    for _ in range(count):
        end = wire.name_at(record.data, start)[1]
        short = compressed(record.data[start:end], at + len(data), places)
        data += record.data[start:end] if record.type == Type.SRV else short
        start = end
    return data + record.data[start:]
