"""Endpoints into slices: what to create, update and delete so that few slices are written. Pure.

The rules are those of the Kubernetes EndpointSlice controller (KEP-0752): an endpoint stays in the slice it is in; new
ones go first into slices that are written anyway, then into the one unchanged slice that they fill best, then
into new slices; half-empty slices are never merged, because every slice written goes to every node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kapi.network import Endpoint, EndpointPort, EndpointSlice
from kendpoints.labels import TRIGGER_TIME

Ports = tuple[EndpointPort, ...]
Identity = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Slices to write. Those to create have no name yet; those to update and delete carry the version they replace."""

    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.delete)

    def __add__(self, other: Changes) -> Changes:
        return Changes(self.create + other.create, self.update + other.update, self.delete + other.delete)


@dataclass(slots=True)
class _Draft:
    """The changes while they are gathered."""

    create: list[EndpointSlice] = field(default_factory=list)
    update: list[EndpointSlice] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)
    kept: int = 0  # slices that stay, changed or not


def pack(
    blank: EndpointSlice,
    groups: Mapping[Ports, Sequence[Endpoint]],
    existing: Iterable[EndpointSlice],
    *,
    limit: int,
    exact_annotations: bool = False,
) -> Changes:
    """Bring the `existing` slices of one family to hold, for each list of ports, these endpoints.

    `blank` carries what every slice must have (labels, owner, family, trigger time) and no endpoints. At most `limit`
    endpoints go into a slice. A family without endpoints keeps exactly one empty slice, the placeholder.
    With `exact_annotations` foreign annotations are removed; else they stay.
    """
    by_ports: dict[Ports, list[EndpointSlice]] = {}
    for known in sorted(existing, key=lambda s: s.name):
        by_ports.setdefault(in_order(known.ports), []).append(known)
    draft = _Draft()
    shape = _Shape(blank, limit, exact_annotations)
    for ports, endpoints in groups.items():
        _fill(draft, shape, ports, endpoints, by_ports.pop(ports, []))
    for left in by_ports.values():
        draft.delete += left
    if not draft.kept and not draft.create:
        _keep_placeholder(draft, shape)
    _recycle(draft, shape)
    return Changes(tuple(draft.create), tuple(draft.update), tuple(draft.delete))


def in_order(ports: Iterable[EndpointPort]) -> Ports:
    """Give ports in the one order in which two lists of them can be compared."""
    return tuple(sorted(ports, key=lambda p: (p.name, p.protocol, p.port, p.app_protocol or "")))


def identity(endpoint: Endpoint) -> Identity:
    """What makes an endpoint the same one, whatever its conditions have become."""
    target = endpoint.target
    return (
        endpoint.addresses if len(endpoint.addresses) == 1 else tuple(sorted(endpoint.addresses, key=int)),
        endpoint.hostname,
        (target.namespace, target.name) if target else None,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What every slice of one family of one Service must look like."""

    blank: EndpointSlice
    limit: int
    exact_annotations: bool

    def new(self, ports: Ports, endpoints: Iterable[Endpoint]) -> EndpointSlice:
        return replace(self.blank, ports=ports, endpoints=tuple(endpoints))

    def onto(self, old: EndpointSlice, ports: Ports, endpoints: Iterable[Endpoint]) -> EndpointSlice:
        kept = {} if self.exact_annotations else old.annotations
        return replace(
            self.new(ports, endpoints),
            name=old.name,
            uid=old.uid,
            resource_version=old.resource_version,
            finalizers=old.finalizers,
            other_owners=old.other_owners,
            annotations={**kept, **self.blank.annotations},
        )

    def fits(self, old: EndpointSlice) -> bool:
        return (
            old.labels == self.blank.labels
            and old.owner == self.blank.owner
            and not old.problems
            and (not self.exact_annotations or _lasting(old.annotations) == self.blank.annotations)
        )


def _fill(
    draft: _Draft, shape: _Shape, ports: Ports, endpoints: Sequence[Endpoint], existing: Iterable[EndpointSlice]
) -> None:
    """Decide about the slices of one list of ports."""
    limit = shape.limit
    wanted = {identity(endpoint): endpoint for endpoint in endpoints}
    written: list[tuple[EndpointSlice, list[Endpoint]]] = []
    unchanged: list[EndpointSlice] = []
    for old in existing:
        kept = [wanted.pop(known) for known in map(identity, old.endpoints) if known in wanted]
        if not kept and old.endpoints:
            draft.delete.append(old)
        elif tuple(kept) != old.endpoints or len(old.endpoints) > limit or not shape.fits(old):
            written.append((old, kept[:limit]))
            wanted |= {identity(endpoint): endpoint for endpoint in kept[limit:]}
        else:
            unchanged.append(old)
    left = list(wanted.values())
    for _, kept in sorted(written, key=lambda item: -len(item[1])):
        room = limit - len(kept)
        kept += left[:room]
        left = left[room:]
    while left:
        best = _best_fit(unchanged, len(left), limit)
        if best is None:
            draft.create.append(shape.new(ports, left[:limit]))
        else:
            unchanged.remove(best)
            written.append((best, [*best.endpoints, *left]))
        left = left[limit:]
    draft.update += [shape.onto(old, ports, kept) for old, kept in written]
    draft.delete += [old for old in unchanged if not old.endpoints]  # somebody emptied it, and nothing needs it
    draft.kept += len(written) + sum(bool(old.endpoints) for old in unchanged)


def _lasting(annotations: Mapping[str, str]) -> dict[str, str]:
    """Annotations without the one that changes with every write."""
    return {name: value for name, value in annotations.items() if name != TRIGGER_TIME}


def _best_fit(slices: Iterable[EndpointSlice], count: int, limit: int) -> EndpointSlice | None:
    """Find the slice that `count` more endpoints leave with the least room; a full load gets a slice of its own."""
    fitting = [known for known in slices if len(known.endpoints) + count <= limit] if count < limit else []
    return max(fitting, key=lambda known: len(known.endpoints), default=None)


def _keep_placeholder(draft: _Draft, shape: _Shape) -> None:
    """See that one empty slice remains, so that consumers can tell "no endpoints" from "not yet looked at"."""
    for old in draft.delete:
        if not old.endpoints and not old.ports and shape.fits(old):
            draft.delete.remove(old)
            return
    draft.create.append(shape.new((), ()))


def _recycle(draft: _Draft, shape: _Shape) -> None:
    """Turn pairs of creation and deletion into updates: one write instead of two, and no gap between them."""
    while draft.create and draft.delete:
        new, old = draft.create.pop(), draft.delete.pop()
        draft.update.append(shape.onto(old, new.ports, new.endpoints))
