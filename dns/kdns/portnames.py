"""The names of ports without their underscores, which CoreDNS takes too: `http.tcp.web...`. Pure.

They have no answers of their own: few ask for them, and those of the names with underscores need only be moved.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdns import compression, wire
from kdns.wire import Answer

_MOST = 63  # octets of a label, RFC 1035 section 2.3.4


def marked(name: bytes) -> Iterator[bytes]:
    """Give what a wire name may stand for: with underscores at its first two labels, and at the first alone."""
    first = _label(name)
    second = _label(name[len(first) :])
    if not first or not second:
        return
    rest = name[len(first) :]
    both = _marked(first) + _marked(second) + rest[len(second) :]
    yield from (found for found in (both, _marked(first) + rest) if found != name)


def moved(answer: Answer, there: bytes, question: bytes) -> Answer:
    """Give the answer to the question `there` as one to a question for another name."""
    if answer.stride:  # its records point to the question's name and to nothing else
        return answer
    owners = {there[:-4]: question[:-4]}
    records = [each._replace(owner=owners.get(each.owner, each.owner)) for each in wire.records(answer, there)]
    return answer._replace(tail=compression.after(question, records))


def _label(name: bytes) -> bytes:
    """Give the first label with its length; nothing at the root."""
    return name[: name[0] + 1] if name and name[0] else b""


def _marked(label: bytes) -> bytes:
    if label[1:2] == b"_" or label[0] >= _MOST:
        return label
    return bytes((label[0] + 1,)) + b"_" + label[1:]
