"""The names of ports without their underscores, which CoreDNS takes too: `http.tcp.web...`. Pure.

They have no answers of their own: few ask for them, and those of the names with underscores need only be moved.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdns import wire
from kdns.wire import POINTER, Answer

_MOST = 63  # octets of a label, RFC 1035 section 2.3.4
_BEFORE_TARGET = 18  # octets of an SRV record, its owner a pointer, before its target


def marked(name: bytes) -> Iterator[bytes]:
    """Give what a wire name may stand for: with underscores at its first two labels, and at the first alone."""
    first = _label(name)
    second = _label(name[len(first) :])
    if not first or not second:
        return
    rest = name[len(first) :]
    both = _marked(first) + _marked(second) + rest[len(second) :]
    yield from (found for found in (both, _marked(first) + rest) if found != name)


def moved(answer: Answer, there: bytes, size: int) -> Answer:
    """Give the answer to the question `there` as one to a question of `size` octets.

    Its records point to the question's name, and to what SRV records lead to.
    """
    if answer.stride:  # its records point to the question's name and to nothing else
        return answer
    owners, parts, at = {there[:-4]: POINTER}, [], wire.HEADER + size
    for found in wire.records(answer, there):
        parts.append(wire.record(owners.get(found.owner, found.owner), found.type, found.ttl, found.data))
        if found.type == wire.Type.SRV and at + _BEFORE_TARGET < wire.POINTER_REACH:
            owners.setdefault(found.data[6:], (0xC000 | at + _BEFORE_TARGET).to_bytes(2, "big"))
        at += len(parts[-1])
    return answer._replace(tail=b"".join(parts))


def _label(name: bytes) -> bytes:
    """Give the first label with its length; nothing at the root."""
    return name[: name[0] + 1] if name and name[0] else b""


def _marked(label: bytes) -> bytes:
    if label[1:2] == b"_" or label[0] >= _MOST:
        return label
    return bytes((label[0] + 1,)) + b"_" + label[1:]
