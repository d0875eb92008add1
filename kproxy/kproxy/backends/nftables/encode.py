"""Tables, chains, sets and elements as netlink message bodies. Pure.

Elements come by the hundred thousand, so an `ElementWriter` packs the attribute headers of its set once and only copies
bytes after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import pack
from typing import NamedTuple

from kproxy.backends.nftables import userdata
from kproxy.backends.nftables.expressions import rule_attributes, verdict
from kproxy.netlink import (
    LARGEST_ATTRIBUTE,
    NESTED,
    attribute,
    nested,
    number,
    text,
)
from kproxy.rules.fields import PORTS, size, width
from kproxy.rules.model import Chain, Hook, Key, Port, Random, Rule, Set, Value, Verdict


class Operation(IntEnum):
    """The messages of nf_tables (enum nf_tables_msg_types)."""

    NEW_TABLE = 0
    GET_TABLE = 1
    DELETE_TABLE = 2
    NEW_CHAIN = 3
    GET_CHAIN = 4
    DELETE_CHAIN = 5
    NEW_RULE = 6
    GET_RULE = 7
    DELETE_RULE = 8
    NEW_SET = 9
    GET_SET = 10
    DELETE_SET = 11
    NEW_ELEMENTS = 12
    GET_ELEMENTS = 13
    DELETE_ELEMENTS = 14
    GET_GENERATION = 16


class Step(NamedTuple):
    """One message to be: what to do, in which family, on whose behalf ("" is the node's own) and with what.

    An `exclusive` one fails where what it makes is there already.
    """

    operation: Operation
    family: int
    body: bytes
    owner: str = ""
    exclusive: bool = False


_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_INTERVAL, _MAP, _TIMEOUT, _EVALUATED, _CONCATENATED = 0x4, 0x8, 0x10, 0x20, 0x80
_INTERVAL_END = 1
_VERDICT_DATA, _VERDICT_SIZE = 0xFFFFFF00, 16
_ADDRESS_TYPE = {4: 7, 6: 8}
_INTEGER_TYPE, _PORT_TYPE = 4, 13


def new_table(family: int, table: str, comment: str, *, exclusive: bool = False) -> Step:
    """Make a table; an `exclusive` one must not be there yet."""
    body = text(1, table) + number(2, 0) + attribute(6, userdata.comment(comment))
    return Step(Operation.NEW_TABLE, family, body, exclusive=exclusive)


def delete_table(family: int, table: str) -> Step:
    """Delete a table with all that is in it."""
    return Step(Operation.DELETE_TABLE, family, text(1, table))


def new_chain(family: int, table: str, chain: Chain, owner: str = "") -> Step:
    """Make a chain, without its rules."""
    body = text(1, table) + text(3, chain.name) + (_hook(chain.hook) if chain.hook else b"")
    return Step(Operation.NEW_CHAIN, family, body, owner)


def _hook(hook: Hook) -> bytes:
    return text(7, hook.type) + nested(4, number(1, _HOOKS[hook.point]), number(2, hook.priority))


def delete_chain(family: int, table: str, name: str, owner: str = "") -> Step:
    """Delete an empty chain."""
    return Step(Operation.DELETE_CHAIN, family, text(1, table) + text(3, name), owner)


def new_rule(family: int, table: str, chain: str, rule: Rule, owner: str = "") -> Step:
    """Append a rule to a chain."""
    return Step(Operation.NEW_RULE, family, text(1, table) + text(2, chain) + rule_attributes(rule, family), owner)


def flush_chain(family: int, table: str, chain: str, owner: str = "") -> Step:
    """Delete all rules of a chain."""
    return Step(Operation.DELETE_RULE, family, text(1, table) + text(2, chain), owner)


def new_set(family: int, table: str, declared: Set, owner: str = "") -> Step:
    """Declare a set or map."""
    parts = [text(1, table), text(2, declared.name), number(3, _flags(declared))]
    parts += [number(4, _type(declared.key, family)), number(5, size(declared.key, family))]
    if declared.is_verdict_map:
        parts += [number(6, _VERDICT_DATA), number(7, _VERDICT_SIZE)]
    elif declared.data:
        parts += [number(6, _type(declared.data, family)), number(7, size(declared.data, family))]
    parts += [number(10, 1), _description(declared, family)]
    parts.append(attribute(13, userdata.declaration(declared, family)))
    return Step(Operation.NEW_SET, family, b"".join(parts), owner)


def delete_set(family: int, table: str, name: str, owner: str = "") -> Step:
    """Delete a set that nothing refers to any more."""
    return Step(Operation.DELETE_SET, family, text(1, table) + text(2, name), owner)


def _flags(declared: Set) -> int:
    flags = _INTERVAL if declared.interval else 0
    flags |= _CONCATENATED if declared.interval and len(declared.key) > 1 else 0
    flags |= _MAP if declared.data is not None else 0
    return flags | (_TIMEOUT | _EVALUATED if declared.dynamic else 0)


def _type(key: Key, family: int) -> int:
    """Number a type as nft does: six bits a field."""
    total = 0
    for part in key:
        kind = _PORT_TYPE if isinstance(part, PORTS) else _INTEGER_TYPE if isinstance(part, Random) else 0
        total = total << 6 | (kind or _ADDRESS_TYPE[family])
    return total


def _description(declared: Set, family: int) -> bytes:
    if declared.dynamic:
        return b""  # a size would be allocated at once, over a megabyte a set; the kernel's own limit is 65535
    if not declared.interval or len(declared.key) == 1:
        return b""
    widths = (2 if isinstance(part, Port) else width(part, family) for part in declared.key)
    return nested(9, nested(2, *(nested(1, number(1, w)) for w in widths)))


class ElementWriter:
    """Writes elements of one set."""

    def __init__(self, family: int, table: str, declared: Set) -> None:
        self._family = family
        self._prefix = text(1, table) + text(2, declared.name)
        self._set = declared
        key, data = size(declared.key, family), size(declared.data or (), family)
        self._key_head = pack("=HHHH", key + 8, 1 | NESTED, key + 4, 1)
        self._end_head = pack("=HHHH", key + 8, 10 | NESTED, key + 4, 1)
        self._key_pad = b"\0" * (-key % 4)
        self._data_head = pack("=HHHH", data + 8, 2 | NESTED, data + 4, 1)
        fixed = 4 + 8 + key + len(self._key_pad) + (8 + data if data else 0)
        self._element_head = pack("=HH", fixed, 1 | NESTED)

    def add(self, elements: Iterable[tuple[bytes, Value]], owner: str = "") -> Iterator[Step]:
        """Put elements in, as many to a message as fit."""
        return self._steps(Operation.NEW_ELEMENTS, map(self._element, elements), owner)

    def remove(self, keys: Iterable[bytes], owner: str = "") -> Iterator[Step]:
        """Take elements out."""
        return self._steps(Operation.DELETE_ELEMENTS, (self._element((key, None)) for key in keys), owner)

    def _steps(self, operation: Operation, elements: Iterable[bytes], owner: str) -> Iterator[Step]:
        pending: list[bytes] = []
        total = 4
        for element in elements:
            if total + len(element) > LARGEST_ATTRIBUTE:
                yield Step(operation, self._family, self._prefix + nested(3, *pending), owner)
                pending, total = [], 4
            pending.append(element)
            total += len(element)
        if pending:
            yield Step(operation, self._family, self._prefix + nested(3, *pending), owner)

    def _element(self, element: tuple[bytes, Value]) -> bytes:
        key, value = element
        if isinstance(value, bytes):
            return self._element_head + self._key_head + key + self._key_pad + self._data_head + value
        if self._set.interval:
            return self._interval(key)
        written = self._key_head + key + self._key_pad
        if isinstance(value, Verdict):
            comment = userdata.comment(value.origin)
            written += nested(2, verdict(value)) + (attribute(6, comment) if comment else b"")
        return nested(1, written)

    def _interval(self, key: bytes) -> bytes:
        low, high = key[: len(key) // 2], key[len(key) // 2 :]
        if len(self._set.key) > 1:
            return nested(1, self._key_head + low, self._end_head + high)
        start = nested(1, self._key_head + low)
        after = int.from_bytes(high, "big") + 1
        if after >> 8 * len(high):
            return start  # it reaches to the last address there is
        end = self._key_head + after.to_bytes(len(high), "big")
        return start + nested(1, end, number(3, _INTERVAL_END))
