"""The wire format of protobuf: just enough to read and write messages. Pure.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes of 64 bits
_SIGN = 1 << 63


class WireError(ValueError):
    """Bytes that are not a protobuf message."""


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a number; gives it and the position after it. Raises `WireError`."""
    value = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        if position >= len(data):
            raise WireError("a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise WireError("a number is longer than 64 bits")


def signed(value: int) -> int:
    """Give an int32 or int64 from its 64 bits."""
    return value - (1 << 64) if value & _SIGN else value


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Give the fields of a message, by number, in order: numbers as they are, everything else as bytes."""
    position = 0
    while position < len(data):
        tag, position = read_varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = read_varint(data, position)
            yield number, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == BYTES:
            size, position = read_varint(data, position)
        if size is None or not number:
            raise WireError(f"field {number} has the unknown wire type {kind}")
        if position + size > len(data):
            raise WireError(f"field {number} is cut off")
        yield number, data[position : position + size]
        position += size


def varint(value: int) -> bytes:
    """Write a number."""
    out = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, data: bytes | str) -> bytes:
    """Write a field of bytes, text, or a message."""
    raw = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | BYTES) + varint(len(raw)) + raw
