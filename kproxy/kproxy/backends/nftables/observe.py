"""What the kernel holds, read back: to go on after a restart, and to find somebody else's hand. Pure but for dumps.

What is read is compared with what should be there, and only the difference is written. Sets that the kernel fills
itself (the memory of session affinity) are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kproxy.backends.nftables import encode, userdata
from kproxy.backends.nftables.encode import ElementWriter, Operation, Step
from kproxy.backends.nftables.expressions import rule_attributes
from kproxy.netlink import Reply, attributes, items, text
from kproxy.rules.model import Chain, Elements, Fate, Set, Table, Value, Verdict

Dump = Callable[..., list[Reply]]
_INTERVAL_END = 1
_GOTO = -4


@dataclass(frozen=True, slots=True)
class Observed:
    """One table as the kernel has it: its comment, each chain's rules (their userdata), each set's elements."""

    comment: str
    chains: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    sets: Mapping[str, Elements] = field(default_factory=dict)


def comments(dump: Dump, family: int, table: str) -> list[str]:
    """Read the comment of the table, in a list; the list is empty where there is no such table."""
    found = (attributes(reply.body) for reply in dump(Operation.GET_TABLE, family))
    return [userdata.read_comment(a.get(6, b"")) for a in found if _text(a[1]) == table]


def observe(dump: Dump, family: int, table: str, declared: Mapping[str, Set]) -> Observed:
    """Read a table that exists. Elements of sets that are not in `declared` are not read."""
    chains: dict[str, list[bytes]] = {}
    for reply in dump(Operation.GET_CHAIN, family):
        found = attributes(reply.body)
        if _text(found[1]) == table:
            chains[_text(found[3])] = []
    for reply in dump(Operation.GET_RULE, family, text(1, table)):
        found = attributes(reply.body)
        chains.setdefault(_text(found[2]), []).append(found.get(7, b""))
    names = [_text(attributes(reply.body)[2]) for reply in dump(Operation.GET_SET, family, text(1, table))]
    sets = {name: _elements(dump, family, table, declared.get(name), name) for name in names}
    return Observed("", {name: tuple(rules) for name, rules in chains.items()}, sets)


def differences(there: Observed, wanted: Table) -> Iterator[Step]:
    """Write what leads from the table that is there to the one that is wanted."""
    family, table = wanted.family, wanted.name
    for name, declared in wanted.sets.items():
        if name not in there.sets:
            yield encode.new_set(family, table, declared)
    yield from _chains(there, wanted)
    writers = {name: ElementWriter(family, table, declared) for name, declared in wanted.sets.items()}
    pairs = [
        (writers[name], there.sets.get(name, {}), wanted.elements.get(name, {}))
        for name, declared in wanted.sets.items()
        if not declared.dynamic
    ]
    for writer, before, after in pairs:
        yield from writer.remove([key for key, value in before.items() if key not in after or after[key] != value])
    for writer, before, after in pairs:
        yield from writer.add((k, value) for k, value in after.items() if k not in before or before[k] != value)
    for name in there.chains.keys() - wanted.chains.keys():
        yield encode.flush_chain(family, table, name)
    for name in there.chains.keys() - wanted.chains.keys():
        yield encode.delete_chain(family, table, name)
    for name in there.sets.keys() - wanted.sets.keys():
        yield encode.delete_set(family, table, name)


def _chains(there: Observed, wanted: Table) -> Iterator[Step]:
    family, table = wanted.family, wanted.name
    differing = [c for c in wanted.chains.values() if there.chains.get(c.name) != _written(c, family)]
    for one in differing:
        if one.name in there.chains:
            yield encode.flush_chain(family, table, one.name)
        else:
            yield encode.new_chain(family, table, one)
    for one in differing:
        for rule in one.rules:
            yield encode.new_rule(family, table, one.name, rule)


def _written(chain: Chain, family: int) -> tuple[bytes, ...]:
    return tuple(attributes(rule_attributes(rule, family))[7] for rule in chain.rules)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()


def _elements(dump: Dump, family: int, table: str, declared: Set | None, name: str) -> Elements:
    if declared is None or declared.dynamic:
        return {}
    bodies = [
        attributes(element)
        for reply in dump(Operation.GET_ELEMENTS, family, text(1, table) + text(2, name))
        for _, element in items(attributes(reply.body).get(3, b""))
    ]
    if declared.interval and len(declared.key) == 1:
        return _intervals(bodies)
    return {_key(body): _value(body) for body in bodies}


def _key(body: Mapping[int, bytes]) -> bytes:
    key = attributes(body[1])[1]
    return key + attributes(body[10])[1] if 10 in body else key


def _value(body: Mapping[int, bytes]) -> Value:
    if 2 not in body:
        return None
    data = attributes(body[2])
    if 1 in data:
        return data[1]
    verdict = attributes(data[2])
    fate = Fate.GOTO if int.from_bytes(verdict[1], "big", signed=True) == _GOTO else Fate.DROP
    return Verdict(fate, _text(verdict.get(2, b"")), userdata.read_comment(body.get(6, b"")))


def _intervals(bodies: list[dict[int, bytes]]) -> Elements:
    """Join starts and ends, which the kernel lists as elements of their own."""
    starts = sorted(_key(body) for body in bodies if not _is_end(body))
    ends = sorted(_key(body) for body in bodies if _is_end(body))
    if starts:
        ends = [end for end in ends if end > starts[0]]
    found: dict[bytes, Value] = {}
    for position, start in enumerate(starts):
        after = int.from_bytes(ends[position], "big") if position < len(ends) else 1 << 8 * len(start)
        found[start + (after - 1).to_bytes(len(start), "big")] = None
    return found


def _is_end(body: Mapping[int, bytes]) -> bool:
    return bool(int.from_bytes(body.get(3, b""), "big") & _INTERVAL_END)
