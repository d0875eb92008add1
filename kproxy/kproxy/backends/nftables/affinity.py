"""Session affinity: a Service port with it has chains of its own. Pure.

Each endpoint has a chain that remembers the client in a set with a timeout, and the chain that chooses first sends
remembered clients back. The memory is per Service port, whichever of its addresses was called; every new connection
renews it. When an endpoint goes, so does its set: its clients choose anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kproxy.backends.nftables.classes import Way, divide, masquerade_rules
from kproxy.model import Frontend, Kind, NodeDuties, Pool, Target
from kproxy.rules.fields import port_bytes
from kproxy.rules.model import Chain, Goto, In, OneIn, Remember, Rule, Set, Source, TranslateTo


@dataclass(frozen=True, slots=True)
class Own:
    """The chains and sets of one frontend with affinity; `entry` is the chain its clients are sent to."""

    entry: str
    chains: tuple[Chain, ...]
    sets: tuple[Set, ...]


def chains(frontend: Frontend, way: Way, node: NodeDuties) -> Own:
    """Write the chains of a frontend. Frontends of the same Service port share most of them."""
    names = _Names(frontend)
    targets = dict.fromkeys((*frontend.pool, *(frontend.outside or ())))
    written = [_remembering(t, frontend, names) for t in targets]
    written.append(Chain(names.choice(), tuple(_choose(frontend.pool, names)), origin=frontend.origin))
    goto = Rule((Goto(names.choice()),))
    for plain in (Way.CLUSTER, Way.EXTERNAL):
        if way is plain or (way is Way.DIVIDED and plain is Way.EXTERNAL):
            rules = (*masquerade_rules(plain, node), goto)
            written.append(Chain(names.way(plain), rules, origin=frontend.origin))
    if way is Way.DIVIDED:
        rules = (*divide(node, names.choice(), names.way(Way.EXTERNAL)), *_choose(frontend.outside or (), names))
        written.append(Chain(names.way(way), rules, origin=frontend.origin))
    sets = tuple(Set(names.memory(t), (Source(),), dynamic=True) for t in targets)
    return Own(names.way(way), tuple(written), sets)


class _Names:
    """Names of chains and sets: the Service port, legible, within what nftables accepts."""

    def __init__(self, frontend: Frontend) -> None:
        self.protocol = frontend.place.protocol.lower()
        self.port = frontend.origin.replace(":", "/")
        self.side = "inside" if frontend.kind is Kind.CLUSTER_IP else "outside"  # their endpoints may differ

    def choice(self) -> str:
        return f"{self.protocol}-choose-{self.side}-{self.port}"

    def way(self, way: Way) -> str:
        return f"{self.protocol}-{way}-{self.port}"

    def endpoint(self, target: Target) -> str:
        return f"{self.protocol}-endpoint-{self.port}/{_plain(target)}"

    def memory(self, target: Target) -> str:
        return f"{self.protocol}-clients-{self.port}/{_plain(target)}"


def _plain(target: Target) -> str:
    return f"{target.address}".replace(":", ".") + f"/{target.port}"


def _remembering(target: Target, frontend: Frontend, names: _Names) -> Chain:
    data = target.address.packed + port_bytes(target.port)
    remember = Rule((Remember(names.memory(target), frontend.affinity_seconds),))
    translate = Rule((TranslateTo(names.protocol, data),))
    return Chain(names.endpoint(target), (remember, translate), origin=frontend.origin)


def _choose(pool: Pool, names: _Names) -> Iterator[Rule]:
    """First the endpoint that remembers the client; else, one in n, then one in n-1 of the rest, and so on."""
    for target in dict.fromkeys(pool):
        yield Rule((In((Source(),), names.memory(target)), Goto(names.endpoint(target))))
    for position, target in enumerate(pool):
        left = len(pool) - position
        chance = (OneIn(left),) if left > 1 else ()
        yield Rule((*chance, Goto(names.endpoint(target))))
