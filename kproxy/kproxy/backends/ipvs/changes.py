"""What is in place and what the differences come to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

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
    """Everything that has been committed."""

    node: NodeDuties
    own: tuple[Address, ...] = ()  # the node's addresses that answer on NodePorts
    services: dict[str, Compiled] = field(default_factory=dict)

    def elements(self, family: int) -> dict[str, dict[bytes, Value]]:
        """Give the elements of every set of one family."""
        return merged((c.elements for c in self.services.values()), family)

    def addresses(self) -> frozenset[Address]:
        """Give the addresses that the host must have."""
        return frozenset(address for c in self.services.values() for address in c.addresses)

    def virtuals(self) -> dict[Server, tuple[str, Virtual]]:
        """Give the virtual servers, each with the Service that owns it."""
        return {server: (c.key, v) for c in self.services.values() for server, v in c.virtuals.items()}

    def ruleset(self) -> Ruleset:
        """Give all rules, virtual servers as well."""
        return Ruleset(tuple(self._table(family) for family in FAMILIES), Dialect.XTABLES)

    def _table(self, family: int) -> Table:
        found = self.virtuals().values()
        mine = sorted((v for _, v in found if v.server.family == family), key=lambda v: not v.server.mark)
        chains = layout.foundation(self.node, family)
        chains |= {c.name: c for c in layout.virtual_server_chains(tuple(rule(v) for v in mine))}
        sets = {layout.kernel_name(n, family): s for n, s in layout.sets().items()}
        elements = {layout.kernel_name(n, family): e for n, e in self.elements(family).items()}
        bound = frozenset(a for a in self.addresses() if a.version == family)
        return Table(family, "ipvs", sets, chains, elements, bound)


def merged(parts: Iterable[Mapping[Where, Mapping[bytes, Value]]], family: int) -> dict[str, dict[bytes, Value]]:
    """Put the elements of several Services together, those of one family."""
    found: dict[str, dict[bytes, Value]] = {}
    for part in parts:
        for (of, name), elements in part.items():
            if of == family:
                found.setdefault(name, {}).update(elements)
    return found


def requests(key: str, old: Mapping[Server, Virtual], new: Mapping[Server, Virtual]) -> Iterator[Request]:
    """Make virtual servers equal to what they should be.

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
    for server in old.keys() - new.keys():
        yield from (retired(server, target, key) for target in old[server].weights)


def retired(server: Server, target: Target, key: str) -> Request:
    """Take a real server out of service: UDP at once, others gracefully."""
    if server.protocol == _UDP:
        return wire.delete_destination(server, target, key)
    return wire.set_destination(server, target, 0, key)
