"""From a Service and its Pods to EndpointSlices: the heart of the controller. Pure.

Semantics: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/ and KEP-0752, KEP-1672
(terminating endpoints), KEP-0753 (ports of sidecar containers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from kapi.network import Endpoint, EndpointPort, EndpointSlice, Node, Pod, Reference, Service, ServicePort, ServiceType
from kendpoints.hints import distribution, hinted, proportional
from kendpoints.labels import HEADLESS, MANAGED_BY, RESERVED, SERVICE_NAME, SLICE_CONTROLLER, TOPOLOGY_MODE
from kendpoints.notices import Notice, Reason, left_out
from kendpoints.pack import Changes, Ports, identity, in_order, pack
from kendpoints.proportional import capacity, spread

MOST_ENDPOINTS = 100  # in one slice, unless told otherwise
_TERMINAL = frozenset({"Succeeded", "Failed"})
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write for one Service, and what people are to be told of it."""

    changes: Changes
    notices: tuple[Notice, ...] = ()


def slices(
    service: Service,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node],
    existing: Iterable[EndpointSlice],
    *,
    limit: int = MOST_ENDPOINTS,
    trigger_time: str = "",
) -> Plan:
    """Bring the `existing` slices of a Service to what its `pods` (those its selector matches) ask for.

    `existing` are the slices that carry the Service's name and this controller's mark. `trigger_time` is the moment of
    the change that is being written, for the annotation by which programming latency is measured.
    """
    matched = list(pods)
    behind = [pod for pod in matched if is_behind(pod)]
    known = list(existing)
    ours = [one for one in known if one.owner is not None and one.owner.uid == service.uid]
    changes = Changes(delete=tuple(one for one in known if one not in ours))
    families = families_of(service)
    changes += Changes(delete=tuple(one for one in ours if one.family not in families))
    resolved = _Ports(service)
    unhinted: list[Notice] = []
    for family in families:
        mine = [one for one in ours if one.family == family]
        hint = _hints(service, mine)
        groups = {p: [hint(e) for e in found] for p, found in _groups(service, behind, nodes, family, resolved).items()}
        packed = pack(_blank(service, family, trigger_time), groups, mine, limit=limit)
        changes += _spread(packed, mine, nodes, unhinted) if proportional(service) else packed
    if service.terminating:
        changes = Changes((), changes.update, changes.delete)
    told = (*left_out(service.problems), *resolved.notices(), *_of_pods(service, matched, nodes), *unhinted)
    return Plan(changes, told)


def is_behind(pod: Pod) -> bool:
    """Whether a pod can be an endpoint at all: it has an address and has not come to its end."""
    return bool(pod.ips) and pod.phase not in _TERMINAL


def has_slices(service: Service) -> bool:
    """Whether this controller writes slices for a Service: one with a selector, and with addresses behind it."""
    return service.selector is not None and service.type is not ServiceType.EXTERNAL_NAME


def families_of(service: Service) -> tuple[int, ...]:
    """Give the address families (4, 6) that a Service has slices for."""
    return declared_families(service) or (4, 6)


def declared_families(service: Service) -> tuple[int, ...]:
    """Give the address families that a Service names, or has addresses of; a headless one may do neither."""
    return service.ip_families or tuple(dict.fromkeys(ip.version for ip in service.cluster_ips))


def labels_of(service: Service) -> dict[str, str]:
    """Give the labels that every slice of a Service carries."""
    labels = {name: value for name, value in service.labels.items() if name not in RESERVED}
    labels |= {SERVICE_NAME: service.name, MANAGED_BY: SLICE_CONTROLLER}
    return labels | ({HEADLESS: ""} if service.headless else {})


def hostname_of(service: Service, pod: Pod) -> str:
    """Give the name by which DNS knows this pod below its Service, or ""."""
    return pod.hostname if pod.subdomain == service.name else ""


def target_number(port: int | str, protocol: str, pod: Pod) -> int:
    """Resolve a target port in a pod; 0 where that gives no number that a port can have."""
    number = port if isinstance(port, int) else _declared(port, protocol, pod)
    return number if 0 < number <= _HIGHEST_PORT else 0


def _declared(name: str, protocol: str, pod: Pod) -> int:
    return next((p.number for p in pod.ports if p.name == name and p.protocol == protocol), 0)


def concerns(pod: Pod) -> tuple[object, ...]:
    """Everything about a pod that can change an endpoint."""
    alive = pod.phase not in _TERMINAL
    names = (pod.hostname, pod.subdomain, pod.node_name)
    return (pod.uid, alive, pod.ips, pod.ready, pod.terminating, names, pod.ports, pod.problems)


class _Ports:
    """The ports of one Service as its pods resolve them; pods of one template are resolved once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[object, Ports] = {}
        self._missing: dict[str, str] = {}  # which port, and why: told of the first pod that lacks it

    def of(self, pod: Pod) -> Ports:
        known = self._known.get(pod.ports)
        if known is None:
            known = self._known[pod.ports] = in_order(self._resolve(pod))
        return known

    def notices(self) -> Iterable[Notice]:
        return (Notice(Reason.LEFT_OUT, where, f"{why}; the port is left out") for where, why in self._missing.items())

    def _resolve(self, pod: Pod) -> Iterable[EndpointPort]:
        for index, port in enumerate(self._service.ports):
            number = target_number(port.target_port, port.protocol, pod)
            if number:
                yield EndpointPort(port.name, port.protocol, number, port.app_protocol)
            else:
                where = f"spec.ports[{index}].targetPort {port.target_port!r}"
                self._missing.setdefault(where, _why_missing(port, pod))


def _why_missing(port: ServicePort, pod: Pod) -> str:
    if isinstance(port.target_port, int):
        return f"a port is a number from 1 to {_HIGHEST_PORT}"
    return f"pod {pod.name}, and any with the same ports, has no container port of that name and protocol"


def _blank(service: Service, family: int, trigger_time: str) -> EndpointSlice:
    return EndpointSlice(
        namespace=service.namespace,
        name="",
        uid="",
        service=service.name,
        family=family,
        endpoints=(),
        ports=(),
        labels=labels_of(service),
        owner=service.reference,
        trigger_time=trigger_time,
    )


def _hints(service: Service, existing: Iterable[EndpointSlice]) -> Callable[[Endpoint], Endpoint]:
    """Say how an endpoint is hinted before packing; hints in proportion start from those that there are."""
    if not proportional(service):
        preference = distribution(service)
        return lambda endpoint: hinted(endpoint, preference)
    known = {identity(endpoint): endpoint.zone_hints for one in existing for endpoint in one.endpoints}
    return lambda endpoint: endpoint._replace(zone_hints=known.get(identity(endpoint), ()) if endpoint.ready else ())


def _spread(
    packed: Changes, existing: Iterable[EndpointSlice], nodes: Mapping[str, Node], unhinted: list[Notice]
) -> Changes:
    """Hint in proportion to the zones' CPUs, or note why not."""
    written = {one.name for one in (*packed.update, *packed.delete)}
    unchanged = [one for one in existing if one.name not in written]
    spread_out, lacking = spread(packed, unchanged, capacity(nodes.values()))
    if lacking:
        where = f"metadata.annotations[{TOPOLOGY_MODE}]"
        unhinted.append(Notice(Reason.NO_HINTS, where, f"no hints are given: {lacking}"))
    return spread_out


def _groups(
    service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node], family: int, ports: _Ports
) -> dict[Ports, list[Endpoint]]:
    """Sort the endpoints of one family by the ports their pods resolve: a slice has one list of ports."""
    groups: dict[Ports, list[Endpoint]] = {}
    for pod in pods:
        if _has_node(service, pod, nodes):
            endpoint = _endpoint(service, pod, nodes, family)
            if endpoint is not None:
                groups.setdefault(ports.of(pod), []).append(endpoint)
    return groups


def _has_node(service: Service, pod: Pod, nodes: Mapping[str, Node]) -> bool:
    """A pod of no node, or of one that is gone, is no endpoint, unless the Service publishes whatever there is."""
    return service.publish_not_ready or pod.node_name in nodes


def _endpoint(service: Service, pod: Pod, nodes: Mapping[str, Node], family: int) -> Endpoint | None:
    addresses = tuple(ip for ip in pod.ips if ip.version == family)
    if not addresses:
        return None
    node = nodes.get(pod.node_name)
    return Endpoint(
        addresses=addresses,
        ready=service.publish_not_ready or (pod.ready and not pod.terminating),
        serving=pod.ready,
        terminating=pod.terminating,
        node_name=pod.node_name,
        zone=node.zone if node else "",
        hostname=hostname_of(service, pod),
        pod=pod.name,
        target=Reference("Pod", pod.namespace, pod.name, pod.uid),
    )


def _of_pods(service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node]) -> Iterable[Notice]:
    """Tell what of the pods is left out; a node that is gone is told of once, not with each of its pods."""
    lost: dict[str, str] = {}
    for pod in pods:
        if pod.phase in _TERMINAL:
            continue
        for notice in left_out(pod.problems):
            yield replace(notice, where=f"pod {pod.name}: {notice.where}")
        if pod.node_name and not _has_node(service, pod, nodes):
            lost.setdefault(pod.node_name, pod.name)
    for node, name in lost.items():
        yield Notice(Reason.LEFT_OUT, f"pod {name}", f"its node {node} does not exist; all pods of it are left out")
