"""What is in place, and what must change: from compiled Services to one batch of messages. Pure.

Some elements are owed by several Services (an endpoint that two of them use is one element of the hairpin set): these
are counted, and go in with the first and out with the last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from kproxy.backends.nftables import encode
from kproxy.backends.nftables.classes import Class, chain
from kproxy.backends.nftables.compile import Compiled, Where
from kproxy.backends.nftables.encode import ElementWriter, Step
from kproxy.backends.nftables.layout import CLUSTER_IPS, HAIRPIN, TABLE, chains, node_elements, sets
from kproxy.model import NodeDuties
from kproxy.rules.model import Chain, Elements, Ruleset, Set, Table, Value

SHARED = frozenset({CLUSTER_IPS, HAIRPIN})
FAMILIES = (4, 6)
_SHARED = tuple((family, name) for family in FAMILIES for name in sorted(SHARED))


@dataclass(frozen=True, slots=True)
class Change:
    """One Service's rules before and after; None where there are none."""

    key: str
    old: Compiled | None
    new: Compiled | None


@dataclass(slots=True)
class InPlace:
    """What the kernel holds, as far as we put it there. Only `take` changes it, after the kernel has agreed."""

    node: NodeDuties
    services: dict[str, Compiled] = field(default_factory=dict)
    classes: set[tuple[int, Class]] = field(default_factory=set)
    shared: Counter[tuple[Where, bytes]] = field(default_factory=Counter)

    def change(self, key: str, new: Compiled | None) -> Change:
        """Compare a Service's new rules with those in place."""
        return Change(key, self.services.get(key), new)

    def take(self, changes: Iterable[Change]) -> None:
        """Note that `changes` have happened."""
        for change in changes:
            for element, more in _shared(change):
                count = self.shared.pop(element, 0) + more
                if count:
                    self.shared[element] = count
            if change.new is None:
                self.services.pop(change.key, None)
            else:
                self.services[change.key] = change.new
                self.classes |= change.new.classes

    def ruleset(self) -> Ruleset:
        """Put everything together: the rules as the kernel has them, to be shown, evaluated or compared."""
        return Ruleset(tuple(self._table(family) for family in FAMILIES))

    def _table(self, family: int) -> Table:
        declared, written = sets(), chains(self.node)
        for cls in sorted(c for f, c in self.classes if f == family):
            written[cls.name] = chain(cls, self.node)
        elements: dict[str, dict[bytes, Value]] = {name: {} for name in declared}
        for name, fixed in node_elements(self.node, family).items():
            elements[name].update(fixed)
        for compiled in self.services.values():
            for (where, name), own in compiled.elements.items():
                if where == family:
                    elements[name].update(own)
            declared |= {name: s for (f, name), s in compiled.sets.items() if f == family}
            written |= {name: c for (f, name), c in compiled.chains.items() if f == family}
        return Table(family, TABLE, declared, written, elements)


def foundation(node: NodeDuties, comment: str) -> Iterator[Step]:
    """Make both tables with all that never changes."""
    for family in FAMILIES:
        yield encode.new_table(family, TABLE, comment)
        declared = sets()
        for one in declared.values():
            yield encode.new_set(family, TABLE, one)
        base = chains(node)
        for name, elements in node_elements(node, family).items():
            yield from ElementWriter(family, TABLE, declared[name]).add(elements.items())
        yield from _chains(family, base.values(), "")


def batch(place: InPlace, changes: Iterable[Change]) -> Iterator[Step]:
    """Write the messages for `changes`: first what is new is made, then elements go and come, then the rest goes."""
    changes = tuple(changes)
    yield from _new_classes(place, changes)
    for change in changes:
        yield from _made(change)
    going, coming = _elements(place, changes)
    for owner, (family, name), keys in going:
        yield from _writer(family, name).remove(keys, owner)
    for owner, (family, name), elements in coming:
        yield from _writer(family, name).add(elements.items(), owner)
    for change in changes:
        yield from _unmade(change)


@cache  # two families, and the sets of the layout
def _writer(family: int, name: str) -> ElementWriter:
    """Give the writer of one of the sets that every ruleset has."""
    return ElementWriter(family, TABLE, sets()[name])


def _new_classes(place: InPlace, changes: tuple[Change, ...]) -> Iterator[Step]:
    wanted = frozenset[tuple[int, Class]]().union(*(c.new.classes for c in changes if c.new))
    for family in FAMILIES:
        missing = sorted(cls for f, cls in wanted - place.classes if f == family)
        yield from _chains(family, [chain(cls, place.node) for cls in missing], "")


def _chains(family: int, written: Iterable[Chain], owner: str) -> Iterator[Step]:
    """Make chains, and only then their rules, which may refer to any of them."""
    written = tuple(written)
    for one in written:
        yield encode.new_chain(family, TABLE, one, owner)
    for one in written:
        for rule in one.rules:
            yield encode.new_rule(family, TABLE, one.name, rule, owner)


def _made(change: Change) -> Iterator[Step]:
    """Make a Service's own sets and chains, and write anew those that differ."""
    if change.new is None:
        return
    old_sets: Mapping[Where, Set] = change.old.sets if change.old else {}
    old_chains: Mapping[Where, Chain] = change.old.chains if change.old else {}
    for (family, name), declared in change.new.sets.items():
        if (family, name) not in old_sets:
            yield encode.new_set(family, TABLE, declared, change.key)
    differing = {where: one for where, one in change.new.chains.items() if old_chains.get(where) != one}
    for (family, name), one in differing.items():
        if (family, name) in old_chains:
            yield encode.flush_chain(family, TABLE, name, change.key)
        else:
            yield encode.new_chain(family, TABLE, one, change.key)
    for (family, name), one in differing.items():
        for rule in one.rules:
            yield encode.new_rule(family, TABLE, name, rule, change.key)


def _unmade(change: Change) -> Iterator[Step]:
    """Take away the chains and sets that a Service no longer has."""
    if change.old is None:
        return
    chains_left = change.new.chains if change.new else {}
    sets_left = change.new.sets if change.new else {}
    gone = [where for where in change.old.chains if where not in chains_left]
    for family, name in gone:
        yield encode.flush_chain(family, TABLE, name, change.key)
    for family, name in gone:
        yield encode.delete_chain(family, TABLE, name, change.key)
    for family, name in change.old.sets:
        if (family, name) not in sets_left:
            yield encode.delete_set(family, TABLE, name, change.key)


Going = list[tuple[str, Where, list[bytes]]]
Coming = list[tuple[str, Where, Elements]]


def _elements(place: InPlace, changes: tuple[Change, ...]) -> tuple[Going, Coming]:
    """Find the elements that go and those that come, each with the Service it is for."""
    going: Going = []
    coming: Coming = []
    for change in changes:
        old = change.old.elements if change.old else {}
        new = change.new.elements if change.new else {}
        for where in old.keys() | new.keys() if old else new.keys():
            before, after = old.get(where, {}), new.get(where, {})
            if where[1] in SHARED or before == after:
                continue
            if before:
                gone = [key for key, value in before.items() if key not in after or after[key] != value]
                after = {key: value for key, value in after.items() if key not in before or before[key] != value}
                if gone:
                    going.append((change.key, where, gone))
            if after:
                coming.append((change.key, where, after))
    _shared_elements(place, changes, going, coming)
    return going, coming


def _shared_elements(place: InPlace, changes: tuple[Change, ...], going: Going, coming: Coming) -> None:
    """Find the shared elements whose count leaves or reaches zero."""
    difference: Counter[tuple[Where, bytes]] = Counter()
    owners: dict[tuple[Where, bytes], str] = {}
    for change in changes:
        for element, more in _shared(change):
            difference[element] += more
            if more > 0:
                owners[element] = change.key
    for element, count in difference.items():
        before = place.shared.get(element, 0)
        where, key = element
        if before and not before + count:
            going.append(("", where, [key]))
        elif not before and count > 0:
            coming.append((owners[element], where, {key: None}))


def _shared(change: Change) -> Iterator[tuple[tuple[Where, bytes], int]]:
    """Give the shared elements that a Service begins to owe (1), and those that it does not owe any more (-1)."""
    old = change.old.elements if change.old else {}
    new = change.new.elements if change.new else {}
    for where in _SHARED:
        before, after = old.get(where, {}), new.get(where, {})
        if before.keys() != after.keys():
            yield from (((where, key), 1) for key in after if key not in before)
            yield from (((where, key), -1) for key in before if key not in after)
