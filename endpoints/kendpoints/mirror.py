"""Hand-made Endpoints of Services without a selector, mirrored into EndpointSlices. Pure.

So that everything that reads slices, and only slices, also serves what people write by hand:
https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring (KEP-0752).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from kapi.network import Endpoint, EndpointSlice, Service
from kendpoints.endpoints import EndpointAddress, Endpoints, Subset
from kendpoints.labels import (
    LAST_APPLIED,
    LEADER,
    MANAGED_BY,
    MIRROR_CONTROLLER,
    SERVICE_NAME,
    SKIP_MIRROR,
    TRIGGER_TIME,
)
from kendpoints.notices import Notice, Reason
from kendpoints.pack import Changes, Ports, pack
from kendpoints.slices import Plan

MOST_ENDPOINTS = 1000  # of one subset, all families together
_NOT_COPIED = frozenset({TRIGGER_TIME, LAST_APPLIED})
_FAMILIES = (4, 6)


def mirrored(service: Service | None, endpoints: Endpoints | None) -> bool:
    """Whether slices are to be made from these Endpoints: hand-made ones, of a Service without a selector."""
    if service is None or endpoints is None or service.selector is not None:
        return False
    return endpoints.labels.get(SKIP_MIRROR) != "true" and LEADER not in endpoints.annotations


def mirror(service: Service | None, endpoints: Endpoints | None, existing: Iterable[EndpointSlice]) -> Plan:
    """Bring the `existing` mirrored slices to what the Endpoints say; none, where they are not to be mirrored."""
    known = tuple(existing)
    if service is None or endpoints is None or not mirrored(service, endpoints):
        return Plan(Changes(delete=known))
    ours = [one for one in known if one.owner is not None and one.owner.uid == endpoints.uid]
    changes = Changes(delete=tuple(one for one in known if one not in ours))
    for family in _FAMILIES:
        groups = _groups(endpoints, family)
        mine = [one for one in ours if one.family == family]
        if groups:
            changes += pack(_blank(endpoints, family), groups, mine, limit=MOST_ENDPOINTS, exact_annotations=True)
        else:
            changes += Changes(delete=tuple(mine))
    return Plan(changes, (*endpoints.unread, *_too_many(endpoints)))


def _blank(endpoints: Endpoints, family: int) -> EndpointSlice:
    labels = {**endpoints.labels, SERVICE_NAME: endpoints.name, MANAGED_BY: MIRROR_CONTROLLER}
    return EndpointSlice(
        namespace=endpoints.namespace,
        name="",
        uid="",
        service=endpoints.name,
        family=family,
        endpoints=(),
        ports=(),
        labels=labels,
        annotations={name: value for name, value in endpoints.annotations.items() if name not in _NOT_COPIED},
        owner=endpoints.reference,
    )


def _groups(endpoints: Endpoints, family: int) -> dict[Ports, list[Endpoint]]:
    groups: dict[Ports, list[Endpoint]] = {}
    for subset in endpoints.subsets:
        mirrored_ones = islice(_members(subset), MOST_ENDPOINTS)
        members = [endpoint for endpoint in mirrored_ones if endpoint.addresses[0].version == family]
        if members:
            groups.setdefault(subset.ports, []).extend(members)
    return groups


def _members(subset: Subset) -> Iterator[Endpoint]:
    """Give the endpoints of a subset, ready ones first."""
    for address in subset.ready:
        yield _endpoint(address, ready=True)
    for address in subset.not_ready:
        yield _endpoint(address, ready=False)


def skipped(endpoints: Endpoints | None) -> int:
    """Count the addresses that are not mirrored: those that are none, and those that are too many."""
    if endpoints is None:
        return 0
    sizes = (len(subset.ready) + len(subset.not_ready) for subset in endpoints.subsets)
    return len(endpoints.unread) + sum(max(0, size - MOST_ENDPOINTS) for size in sizes)


def _too_many(endpoints: Endpoints) -> Iterator[Notice]:
    for subset in endpoints.subsets:
        count = len(subset.ready) + len(subset.not_ready)
        if count > MOST_ENDPOINTS:
            ports = ", ".join(f"{port.port}/{port.protocol}" for port in subset.ports)
            told = f"of its {count} addresses the first {MOST_ENDPOINTS} are mirrored, ready ones first"
            yield Notice(Reason.TOO_MANY_TO_MIRROR, f"the subset of port {ports}" if ports else "the subset", told)


def _endpoint(address: EndpointAddress, *, ready: bool) -> Endpoint:
    target = address.target
    return Endpoint(
        addresses=(address.ip,),
        ready=ready,
        serving=ready,
        node_name=address.node_name,
        hostname=address.hostname,
        pod=target.name if target and target.kind == "Pod" else "",
        target=target,
    )
