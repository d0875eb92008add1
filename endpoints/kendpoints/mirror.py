"""Hand-made Endpoints of Services without a selector, mirrored into EndpointSlices. Pure.

So that everything that reads slices, and only slices, also serves what people write by hand:
https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring (KEP-0752).
"""

from __future__ import annotations

from collections.abc import Iterable

from kapi.network import Endpoint, EndpointSlice, Problem, Service
from kendpoints.endpoints import EndpointAddress, Endpoints
from kendpoints.labels import (
    LAST_APPLIED,
    LEADER,
    MANAGED_BY,
    MIRROR_CONTROLLER,
    SERVICE_NAME,
    SKIP_MIRROR,
    TRIGGER_TIME,
)
from kendpoints.pack import Changes, Ports, pack
from kendpoints.slices import Plan

MOST_ENDPOINTS = 1000  # of one subset
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
    left_out: list[Problem] = []
    for family in _FAMILIES:
        groups = _groups(endpoints, family, left_out)
        mine = [one for one in ours if one.family == family]
        if groups:
            changes += pack(_blank(endpoints, family), groups, mine, limit=MOST_ENDPOINTS, exact_annotations=True)
        else:
            changes += Changes(delete=tuple(mine))
    return Plan(changes, (*endpoints.problems, *left_out))


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


def _groups(endpoints: Endpoints, family: int, left_out: list[Problem]) -> dict[Ports, list[Endpoint]]:
    groups: dict[Ports, list[Endpoint]] = {}
    for index, subset in enumerate(endpoints.subsets):
        members = [
            _endpoint(address, ready=ready)
            for addresses, ready in ((subset.ready, True), (subset.not_ready, False))
            for address in addresses
            if address.ip.version == family
        ]
        if len(members) > MOST_ENDPOINTS:
            message = f"{len(members)} IPv{family} addresses; the first {MOST_ENDPOINTS} are mirrored"
            left_out.append(Problem(f"subsets[{index}]", message))
        if members:
            groups.setdefault(subset.ports, []).extend(members[:MOST_ENDPOINTS])
    return groups


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
