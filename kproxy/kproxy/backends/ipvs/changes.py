"""What is in place and what the differences come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from kapi.network import Address
from kproxy.backends.ipvs import layout, wire
from kproxy.backends.ipvs.compile import Compiled, Server, Virtual, Where, rule
from kproxy.backends.ipvs.wire import Request
from kproxy.model import NodeDuties, Target
from kproxy.rules.model import Dialect, Ruleset, Table, Value

FAMILIES = (4, 6)
_UDP = 17


@dataclass(slots=True)
class InPlace:
    """Everything that has been committed. Only `take` changes what Services have there, at the cost of one Service."""

    node: NodeDuties
    own: tuple[Address, ...] = ()  # the node's addresses that answer on NodePorts
    services: dict[str, Compiled] = field(default_factory=dict)
    virtuals: dict[Server, Virtual] = field(default_factory=dict)
    bound: Counter[Address] = field(default_factory=Counter)  # the host must have them: how many Services say so
    shared: Counter[tuple[Where, bytes]] = field(default_factory=Counter)  # elements that several Services may owe

    def take(self, new: Mapping[str, Compiled | None]) -> dict[str, Compiled]:
        """Note what these Services have there from now on; gives what they had."""
        old = {key: self.services.pop(key) for key in new if key in self.services}
        for compiled in old.values():  # all of them first: what one loses may be another's now
            for server in compiled.virtuals:
                del self.virtuals[server]
            _count(self.bound, compiled.addresses, -1)
            _count(self.shared, _shared(compiled), -1)
        for key, made in new.items():
            if made is not None:
                self.services[key] = made
                self.virtuals |= made.virtuals
                _count(self.bound, made.addresses, 1)
                _count(self.shared, _shared(made), 1)
        return old

    def elements(self, family: int) -> dict[str, dict[bytes, Value]]:
        """Give the elements of every set of one family."""
        return merged((c.elements for c in self.services.values()), family)

    def weights(self, server: Server) -> Mapping[Target, int]:
        """Give the endpoints of a virtual server with their weights; none where it should not be there."""
        return self.virtuals[server].weights if server in self.virtuals else {}

    def ruleset(self) -> Ruleset:
        """Give all rules, virtual servers as well."""
        return Ruleset(tuple(self._table(family) for family in FAMILIES), Dialect.XTABLES)

    def _table(self, family: int) -> Table:
        found = self.virtuals.values()
        mine = sorted((v for v in found if v.server.family == family), key=lambda v: not v.server.mark)
        chains = layout.foundation(self.node, family)
        chains |= {c.name: c for c in layout.virtual_server_chains(tuple(rule(v) for v in mine))}
        sets = {layout.kernel_name(n, family): s for n, s in layout.sets().items()}
        elements = {layout.kernel_name(n, family): e for n, e in self.elements(family).items()}
        bound = frozenset(a for a in self.bound if a.version == family)
        return Table(family, "ipvs", sets, chains, elements, bound)


T = TypeVar("T")


def _count(counted: Counter[T], found: Iterable[T], more: int) -> None:
    for one in found:
        count = counted.pop(one, 0) + more
        if count:
            counted[one] = count


def _shared(compiled: Compiled) -> Iterator[tuple[Where, bytes]]:
    for where, elements in compiled.elements.items():
        if where[1] in layout.SHARED:
            yield from ((where, key) for key in elements)


def gone(place: InPlace, old: Iterable[Compiled], family: int) -> dict[str, dict[bytes, Value]]:
    """Give the elements that these had, but for those that other Services still owe."""
    found = merged((c.elements for c in old), family)
    for name in layout.SHARED & found.keys():
        found[name] = {key: None for key in found[name] if ((family, name), key) not in place.shared}
    return found


def merged(parts: Iterable[Mapping[Where, Mapping[bytes, Value]]], family: int) -> dict[str, dict[bytes, Value]]:
    """Put the elements of several Services together, those of one family."""
    found: dict[str, dict[bytes, Value]] = {}
    for part in parts:
        for (of, name), elements in part.items():
            if of == family:
                found.setdefault(name, {}).update(elements)
    return found


def between(place: InPlace, old: Mapping[str, Compiled], new: Mapping[str, Compiled]) -> Iterator[Request]:
    """Make the virtual servers of some Services what they should be; one may go from a Service to another."""
    before = {server: virtual for compiled in old.values() for server, virtual in compiled.virtuals.items()}
    for key, compiled in new.items():
        yield from requests(key, before, compiled.virtuals)
    for key, compiled in old.items():
        yield from endings(key, {s: v for s, v in compiled.virtuals.items() if s not in place.virtuals})


def requests(key: str, old: Mapping[Server, Virtual], new: Mapping[Server, Virtual]) -> Iterator[Request]:
    """Make a Service's virtual servers equal to what they should be; `old` are those there, others among them.

    A TCP endpoint that goes stays with weight 0 (no new connections) until its connections have ended; the last step,
    taking it away, is for `sweep`. A virtual server stays as long as it has such endpoints.
    """
    for server, virtual in new.items():
        before = old.get(server)
        if before is None:
            yield wire.new_service(virtual, key)
        elif (before.scheduler, before.affinity) != (virtual.scheduler, virtual.affinity):
            yield wire.set_service(virtual, key)
        known = before.weights if before else {}
        for target, weight in virtual.weights.items():
            if target not in known:
                yield wire.new_destination(server, target, weight, key)
            elif known[target] != weight:
                yield wire.set_destination(server, target, weight, key)
        for target in known.keys() - virtual.weights.keys():
            yield retired(server, target, key)


def endings(key: str, old: Mapping[Server, Virtual]) -> Iterator[Request]:
    """Take all endpoints of virtual servers out of service."""
    for server, virtual in old.items():
        yield from (retired(server, target, key) for target in virtual.weights)


def retired(server: Server, target: Target, key: str) -> Request:
    """Take a real server out of service: UDP at once, others gracefully."""
    if server.protocol == _UDP:
        return wire.delete_destination(server, target, key)
    return wire.set_destination(server, target, 0, key)
