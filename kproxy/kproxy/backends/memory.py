"""The public fake: the nftables backend on a packet filter that is in memory, and as strict as the kernel's.

It keeps what it is given, refuses what the kernel would refuse (a chain that does not exist, an element that is there
already with another value, one that is not there), and evaluates packets. For tests, and for trials without root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from kproxy import netlink
from kproxy.backends.nftables.backend import Nftables
from kproxy.backends.nftables.encode import Operation, Step
from kproxy.errors import CommitFailed, Refused
from kproxy.host import Host
from kproxy.netlink import Reply, attributes, items

_Name = tuple[int, str]


class Memory(Nftables):
    """See `kproxy.backends.Backend`."""

    name: ClassVar[str] = "memory"

    def __init__(self, host: Host | None = None) -> None:  # noqa: ARG002  # backends are made alike
        super().__init__(None, MemoryFilter())


@dataclass(slots=True)
class _Contents:
    """The bodies of everything there is, by family and name. Rules and elements are lists and mappings of bodies."""

    tables: dict[int, bytes] = field(default_factory=dict)
    chains: dict[_Name, bytes] = field(default_factory=dict)
    rules: dict[_Name, list[bytes]] = field(default_factory=dict)
    sets: dict[_Name, bytes] = field(default_factory=dict)
    elements: dict[_Name, dict[bytes, bytes]] = field(default_factory=dict)


class MemoryFilter:
    """A packet filter with one table a family, that understands the messages of `encode`."""

    def __init__(self) -> None:
        self._contents = _Contents()
        self._generation = 1

    def commit(self, steps: Sequence[Step]) -> None:
        """See `Filter.commit`."""
        undo = _copy(self._contents)
        try:
            for step in steps:
                self._take(step)
            self._check_references()
        except (Refused, CommitFailed):
            self._contents = undo
            raise
        self._generation += 1

    def dump(self, operation: Operation, family: int, *parts: bytes) -> list[Reply]:
        """See `Filter.dump`."""
        held = self._contents
        match operation:
            case Operation.GET_TABLE:
                bodies = [body for f, body in held.tables.items() if f == family]
            case Operation.GET_CHAIN:
                bodies = [body for (f, _), body in held.chains.items() if f == family]
            case Operation.GET_RULE:
                bodies = [body for (f, _), rules in held.rules.items() if f == family for body in rules]
            case Operation.GET_SET:
                bodies = [body for (f, _), body in held.sets.items() if f == family]
            case _:
                name = _text(attributes(b"".join(parts))[2])
                bodies = [netlink.nested(3, *held.elements[family, name].values())]
        return [Reply(0, 0, family, body) for body in bodies]

    def generation(self) -> int:
        """See `Filter.generation`."""
        return self._generation

    def close(self) -> None:
        """See `Filter.close`."""

    def _take(self, step: Step) -> None:
        held, family, found = self._contents, step.family, attributes(step.body)
        if step.operation is Operation.NEW_TABLE:
            held.tables[family] = step.body
            return
        if family not in held.tables:
            raise _refusal(step, "no such table")
        match step.operation:
            case Operation.DELETE_TABLE:
                self._contents = _without(held, family)
            case Operation.NEW_CHAIN:
                held.chains[family, _text(found[3])] = step.body
                held.rules[family, _text(found[3])] = []
            case Operation.DELETE_CHAIN:
                self._delete_chain(step, (family, _text(found[3])))
            case Operation.NEW_RULE:
                self._rules(step, (family, _text(found[2]))).append(step.body)
            case Operation.DELETE_RULE:
                self._rules(step, (family, _text(found[2]))).clear()
            case Operation.NEW_SET:
                held.sets[family, _text(found[2])] = step.body
                held.elements.setdefault((family, _text(found[2])), {})
            case Operation.DELETE_SET:
                del held.sets[family, _text(found[2])], held.elements[family, _text(found[2])]
            case _:
                self._take_elements(step, (family, _text(found[2])), found[3])

    def _rules(self, step: Step, name: _Name) -> list[bytes]:
        if name not in self._contents.rules:
            raise _refusal(step, f"no chain {name[1]}")
        return self._contents.rules[name]

    def _delete_chain(self, step: Step, name: _Name) -> None:
        if self._rules(step, name):
            raise _refusal(step, f"chain {name[1]} has rules")
        del self._contents.chains[name], self._contents.rules[name]

    def _take_elements(self, step: Step, name: _Name, listed: bytes) -> None:
        if name not in self._contents.elements:
            raise _refusal(step, f"no set {name[1]}")
        held = self._contents.elements[name]
        for _, body in items(listed):
            key = _identity(body)
            element = netlink.nested(1, body)
            if step.operation is Operation.DELETE_ELEMENTS:
                if held.pop(key, None) is None:
                    raise _refusal(step, f"no such element in {name[1]}")
            elif held.setdefault(key, element) != element:
                raise _refusal(step, f"an element of {name[1]} is there with another value")

    def _check_references(self) -> None:
        """No element may point at a chain that is not there."""
        chains = self._contents.chains
        for (family, name), elements in self._contents.elements.items():
            for element in elements.values():
                target = _target(element)
                if target and (family, target) not in chains:
                    raise CommitFailed(f"an element of {name} goes to {target}, which is not there")


def _copy(held: _Contents) -> _Contents:
    return _Contents(
        dict(held.tables),
        dict(held.chains),
        {name: list(rules) for name, rules in held.rules.items()},
        dict(held.sets),
        {name: dict(elements) for name, elements in held.elements.items()},
    )


def _without(held: _Contents, family: int) -> _Contents:
    return _Contents(
        {f: body for f, body in held.tables.items() if f != family},
        {name: body for name, body in held.chains.items() if name[0] != family},
        {name: rules for name, rules in held.rules.items() if name[0] != family},
        {name: body for name, body in held.sets.items() if name[0] != family},
        {name: elements for name, elements in held.elements.items() if name[0] != family},
    )


def _identity(body: bytes) -> bytes:
    """Give what tells elements of one set apart: the key, and for intervals its end or its being one."""
    found = attributes(body)
    return found[1] + found.get(10, b"") + found.get(3, b"")


def _target(element: bytes) -> str:
    """Give the chain an element goes to, or ""."""
    data = attributes(attributes(attributes(element)[1]).get(2, b""))
    return _text(attributes(data[2]).get(2, b"")) if 2 in data else ""


def _refusal(step: Step, why: str) -> Refused | CommitFailed:
    words = f"{step.operation.name.lower().replace('_', ' ')}: {why}"
    return Refused({step.owner: words}) if step.owner else CommitFailed(words)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
