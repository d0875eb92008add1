"""Hints in proportion to the CPUs of zones: `service.kubernetes.io/topology-mode: Auto` (KEP-2433). Pure.

Each zone should be served by a share of the endpoints that equals its share of the CPUs, for that is about its share of
the traffic. Endpoints prefer their own zone; where a zone has too few, another lends it some. No zone may be left
with so few that they would carry more than 20 % over their part: then there are no hints at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kapi.network import Endpoint, EndpointSlice, Node
from kendpoints.pack import Changes

_OVERLOAD = 0.2
_NOT_COUNTED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@dataclass(frozen=True, slots=True)
class Capacity:
    """Each zone's part of the CPUs, all parts together 1; or why they cannot be known."""

    parts: Mapping[str, float]
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class _Share:
    """How many endpoints serve a zone: at the very least, at most, and ideally."""

    least: int
    most: int
    ideal: float


def capacity(nodes: Iterable[Node]) -> Capacity:
    """Sum up the CPUs of the ready nodes; the control plane's take no part."""
    cpus: Counter[str] = Counter()
    for node in nodes:
        if not node.ready or any(label in node.labels for label in _NOT_COUNTED):
            continue
        if not node.zone or not node.milli_cpu:
            return Capacity({}, f"node {node.name} has no {'allocatable CPU' if node.zone else 'zone'}")
        cpus[node.zone] += node.milli_cpu
    if len(cpus) < 2:
        return Capacity({}, "fewer than two zones have ready nodes")
    total = cpus.total()
    return Capacity({zone: cpu / total for zone, cpu in sorted(cpus.items())})


def spread(changes: Changes, unchanged: Iterable[EndpointSlice], zones: Capacity) -> tuple[Changes, str]:
    """Hint the endpoints of one family, in as few slices as can be; gives "" or why there are no hints.

    `changes` are to be written anyway; a slice of `unchanged` is left alone while its hints do no harm.
    """
    left_alone = tuple(unchanged)
    ready = sum(endpoint.ready for one in (*changes.create, *changes.update, *left_alone) for endpoint in one.endpoints)
    shares, lacking = _shares(ready, zones)
    if lacking:
        return _without_hints(changes, left_alone), lacking
    held: Counter[str] = Counter()
    harmful = tuple(one for one in left_alone if not _hold(one, held, shares))
    written = Changes(changes.create, changes.update + harmful, changes.delete)
    homeless = [e for one in (*written.create, *written.update) for e in one.endpoints if e.ready and not e.zone]
    if homeless:
        return _without_hints(changes, left_alone), f"pod {homeless[0].pod} is in no zone"
    return _hinted(written, held, shares), ""


def _shares(ready: int, zones: Capacity) -> tuple[dict[str, _Share], str]:
    """Divide so many endpoints among the zones."""
    if zones.lacking:
        return {}, zones.lacking
    if ready < len(zones.parts):
        return {}, f"{ready} ready endpoints are too few for {len(zones.parts)} zones"
    least = {zone: math.ceil(part * ready / (1 + _OVERLOAD)) for zone, part in zones.parts.items()}
    spare = ready - sum(least.values())
    if spare < 0:
        return {}, f"{ready} ready endpoints cannot serve {len(least)} zones without more than 20 % overload in one"
    ideal = {zone: max(part * ready, least[zone]) for zone, part in zones.parts.items()}
    return {zone: _Share(least[zone], least[zone] + spare, ideal[zone]) for zone in least}, ""


def _hold(one: EndpointSlice, held: Counter[str], shares: Mapping[str, _Share]) -> bool:
    """Add a slice's hints to those `held`, if every ready endpoint has one and no zone gets too many by them."""
    ready = [endpoint for endpoint in one.endpoints if endpoint.ready]
    found = Counter(zone for endpoint in ready for zone in endpoint.zone_hints)
    fits = all(zone in shares and held[zone] + count <= shares[zone].most for zone, count in found.items())
    if not fits or not all(endpoint.zone_hints for endpoint in ready):
        return False
    held.update(found)
    return True


def _hinted(changes: Changes, held: Counter[str], shares: Mapping[str, _Share]) -> Changes:
    slices = (*changes.create, *changes.update)
    own = Counter(endpoint.zone for one in slices for endpoint in one.endpoints if endpoint.ready)
    giving, receiving = _moves(held + own, shares)
    hinted = [replace(one, endpoints=tuple(_lend(one.endpoints, giving, receiving))) for one in slices]
    count = len(changes.create)
    return Changes(tuple(hinted[:count]), tuple(hinted[count:]), changes.delete)


def _moves(held: Counter[str], shares: Mapping[str, _Share]) -> tuple[Counter[str], Counter[str]]:
    """Find how many endpoints each zone lends to others, and how many each gets from others."""
    surplus = {zone: held[zone] - share.ideal for zone, share in shares.items()}
    giving: Counter[str] = Counter()
    receiving: Counter[str] = Counter()
    while True:
        giver, taker = max(surplus, key=surplus.__getitem__), min(surplus, key=surplus.__getitem__)
        most, lack = surplus[giver], -surplus[taker]
        if most < 0.5 or lack < 0.5 or (most < 1.0 and lack < 1.0):
            return giving, receiving
        giving[giver] += 1
        receiving[taker] += 1
        surplus[giver] -= 1
        surplus[taker] += 1


def _lend(endpoints: Sequence[Endpoint], giving: Counter[str], receiving: Counter[str]) -> Iterator[Endpoint]:
    """Hint each ready endpoint at its own zone, or at one that it is lent to."""
    for endpoint in endpoints:
        zone = endpoint.zone
        if endpoint.ready and giving[zone] > 0:
            giving[zone] -= 1
            zone = next(iter(+receiving))
            receiving[zone] -= 1
        yield endpoint._replace(zone_hints=(zone,) if endpoint.ready else (), node_hints=())


def _without_hints(changes: Changes, unchanged: Iterable[EndpointSlice]) -> Changes:
    hinting = tuple(one for one in unchanged if any(e.zone_hints or e.node_hints for e in one.endpoints))
    return Changes(
        tuple(_bare(one) for one in changes.create),
        tuple(_bare(one) for one in (*changes.update, *hinting)),
        changes.delete,
    )


def _bare(one: EndpointSlice) -> EndpointSlice:
    return replace(one, endpoints=tuple(e._replace(zone_hints=(), node_hints=()) for e in one.endpoints))
