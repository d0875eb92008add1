"""What nftables keeps beside its objects for people: comments, and how a set's key was declared. Pure.

The kernel only stores these bytes; `nft list` needs them to print `typeof ip daddr . tcp dport` and comments. The
layout is libnftnl's (include/libnftnl/udata.h); the numbers of expressions and fields are those of nft's own sources.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import pack
from zlib import crc32

from kproxy.rules.model import Called, CalledPort, Destination, Expression, Key, Port, Random, Set, Source, SourcePort

_LONGEST_COMMENT = 127
_DIGEST = 0x6B  # none of the kinds of libnftnl

_VERDICT, _PAYLOAD, _CONCAT, _NUMGEN = 1, 7, 13, 23
_PROTOCOLS = {"udp": 6, "tcp": 8, "sctp": 10}
_IP = {4: 12, 6: 13}
_ADDRESS_FIELDS = {(4, Source): 11, (4, Destination): 12, (6, Source): 8, (6, Destination): 9}
_PORT_FIELDS = {SourcePort: 1, Port: 2}
_BIG_ENDIAN = 2

_KEY_ORDER, _DATA_ORDER, _KEY_TYPEOF, _DATA_TYPEOF, _DATA_INTERVAL = 0, 1, 3, 4, 6


def _field(kind: int, data: bytes) -> bytes:
    return bytes((kind, len(data))) + data


def _number(kind: int, value: int) -> bytes:
    return _field(kind, pack("=I", value))


def comment(words: str) -> bytes:
    """Write the comment of a rule, an element, a chain or a table; long ones are cut."""
    if not words:
        return b""
    return _field(0, words.encode()[: _LONGEST_COMMENT - 1].decode(errors="ignore").encode() + b"\0")


def read_comment(data: bytes) -> str:
    """Read a comment back; "" where there is none."""
    if len(data) < 3 or data[0] != 0:
        return ""
    return data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")


def digest(expressions: bytes) -> bytes:
    """Write a digest of a rule beside its comment; nft passes over kinds it does not know."""
    return _field(_DIGEST, crc32(expressions).to_bytes(4, "big"))


def declaration(declared: Set, family: int) -> bytes:
    """Write how a set was declared."""
    parts = [_number(_KEY_ORDER, 0 if len(declared.key) > 1 else _BIG_ENDIAN)]
    if any(isinstance(part, Called | CalledPort) for part in declared.key):
        return parts[0]  # nft 1.0.6 has no words for these fields, and names their types
    if declared.data is not None:
        parts.append(_number(_DATA_ORDER, 0))
    parts.append(_field(_KEY_TYPEOF, _typeof(declared.key, family)))
    if declared.data is not None:
        value = _typeof(declared.data, family) if declared.data else _number(0, _VERDICT) + _field(1, b"")
        parts += [_field(_DATA_TYPEOF, value), _number(_DATA_INTERVAL, 0)]
    return b"".join(parts)


def _typeof(key: Key, family: int) -> bytes:
    if len(key) == 1:
        return _expression(key[0], family)
    return _number(0, _CONCAT) + _field(1, _numbered(_expression(part, family) for part in key))


def _numbered(parts: Iterable[bytes]) -> bytes:
    return b"".join(_field(position, part) for position, part in enumerate(parts))


def _expression(part: Expression, family: int) -> bytes:
    if isinstance(part, Random):
        drawn = _number(0, 1) + _number(1, part.modulo) + _number(2, 0)
        return _number(0, _NUMGEN) + _field(1, drawn)
    if isinstance(part, Port | SourcePort):
        return _payload(_PROTOCOLS[part.protocol], _PORT_FIELDS[type(part)])
    return _payload(_IP[family], _ADDRESS_FIELDS[family, type(part)])


def _payload(header: int, field: int) -> bytes:
    return _number(0, _PAYLOAD) + _field(1, _number(0, header) + _number(1, field))
