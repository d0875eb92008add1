"""The bytes of nfnetlink: attributes, messages and batches, packed with struct; nf_tables and conntrack use them. Pure.

For what comes by the hundred thousand; the rest is pyroute2's (`kproxy.exchange`).

Layouts: linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h. Header fields are in host byte
order; the numbers inside attributes are big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

NESTED = 0x8000
_TYPE = 0x3FFF

# nlmsghdr flags
REQUEST = 0x1
ACK = 0x4
EXCL = 0x200
CREATE = 0x400
APPEND = 0x800
DUMP = 0x300

# message types
NOOP, ERROR, DONE = 1, 2, 3
BATCH_BEGIN, BATCH_END = 0x10, 0x11
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES

_ATTRIBUTE = Struct("=HH")
_MESSAGE = Struct("=IHHIIBBH")  # nlmsghdr and nfgenmsg
_HEADER = Struct("=IHHII")
_CODE = Struct("=i")
_BIG32 = Struct(">I")

LARGEST_ATTRIBUTE = 0xFFFF


def attribute(kind: int, payload: bytes) -> bytes:
    """Pack one attribute, padded to four bytes."""
    size = len(payload) + 4
    return _ATTRIBUTE.pack(size, kind) + payload + b"\0" * (-size % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """Pack an attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def number(kind: int, value: int) -> bytes:
    """Pack a 32-bit number."""
    return attribute(kind, _BIG32.pack(value & 0xFFFFFFFF))


def text(kind: int, value: str) -> bytes:
    """Pack a string, ended by a zero."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """Take attributes apart, by kind; of repeated kinds (list elements) use `items`."""
    return dict(items(data))


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Take attributes apart, in order."""
    offset = 0
    while offset + 4 <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4:
            return
        yield kind & _TYPE, data[offset + 4 : offset + size]
        offset += size + 3 & ~3


def message(kind: int, flags: int, sequence: int, family: int, *parts: bytes, resource: int = 0) -> bytes:
    """Pack one message: netlink header, nfgenmsg, attributes. `kind` holds the subsystem in its high byte."""
    body = b"".join(parts)
    size = len(body) + _MESSAGE.size
    return _MESSAGE.pack(size, kind, flags | REQUEST, sequence, 0, family, 0, resource) + body


def begin(sequence: int) -> bytes:
    """Pack the opening message of a batch; all until `end` happens together or not at all."""
    return message(BATCH_BEGIN, 0, sequence, 0, resource=SUBSYSTEM << 8)


def end(sequence: int) -> bytes:
    """Pack the closing message of a batch."""
    return message(BATCH_END, 0, sequence, 0, resource=SUBSYSTEM << 8)


@dataclass(frozen=True, slots=True)
class Reply:
    """One message of the kernel. `error` is 0 for an acknowledgement, an errno for a refusal, None otherwise."""

    kind: int
    sequence: int
    family: int
    body: bytes
    error: int | None = None


def replies(data: bytes) -> Iterator[Reply]:
    """Take a datagram of the kernel apart."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < _HEADER.size:
            return
        body = data[offset + _HEADER.size : offset + size]
        if kind in (ERROR, DONE):
            code = -_CODE.unpack_from(body)[0] if len(body) >= 4 else 0
            yield Reply(kind, sequence, 0, b"", code)
        elif kind != NOOP:
            yield Reply(kind, sequence, body[0], body[4:])
        offset += size + 3 & ~3
