"""Which endpoints serve: everyone's set and this node's own, computed independently. Pure.

The rules are those of KEP-1669 (terminating endpoints), KEP-2433 and KEP-3015 (hints), and of
`pkg/proxy/topology.go` in kubernetes/kubernetes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kapi.network import Address, Endpoint


@dataclass(frozen=True, slots=True)
class Here:
    """Where this node is."""

    node: str
    zone: str = ""
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Categories:
    """The endpoints for everyone, and those for Local policies. If the first is empty, so is the second."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]


def categorise(endpoints: Collection[Endpoint], here: Here) -> Categories:
    """Choose the two sets. Readiness comes first; only where nothing is ready do terminating endpoints still serve."""
    node = here.node
    ready = tuple([e for e in endpoints if e.ready])
    cluster = hinted(ready, here) if ready else _draining(endpoints)
    own = [e for e in endpoints if e.node_name == node]
    local = tuple([e for e in own if e.ready]) or _draining(own)
    return Categories(cluster, local)


def hinted(ready: tuple[Endpoint, ...], here: Here) -> tuple[Endpoint, ...]:
    """Keep the endpoints meant for this node, else for its zone; all of them as soon as one has no hint."""
    if all(e.node_hints for e in ready):
        mine = tuple(e for e in ready if here.node in e.node_hints)
        if mine:
            return mine
    if here.zone and all(e.zone_hints for e in ready):
        near = tuple(e for e in ready if here.zone in e.zone_hints)
        if near:
            return near
    return ready


def _draining(endpoints: Collection[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(e for e in endpoints if e.serving and e.terminating)
