"""From a Service and its Pods to the older Endpoints object. Pure.

Deprecated since Kubernetes 1.33 and still read by much software: the first address family only, addresses packed into
subsets so that each port is named once, at most 1,000 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from kapi.network import Address, EndpointPort, Pod, Protocol, Reference, Service
from kendpoints.labels import ENDPOINTS_CONTROLLER, ENDPOINTS_MANAGED_BY, HEADLESS, OVER_CAPACITY, TRIGGER_TIME
from kendpoints.notices import Notice, Reason
from kendpoints.pack import Ports, in_order
from kendpoints.slices import declared_families, hostname_of, is_behind, target_number

Json = dict[str, Any]

MOST_ADDRESSES = 1000


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """One address of a subset. `target` is its targetRef."""

    ip: Address
    hostname: str = ""
    node_name: str = ""
    target: Reference | None = None


@dataclass(frozen=True, slots=True)
class Subset:
    """Addresses that all serve the same ports."""

    ready: tuple[EndpointAddress, ...]
    not_ready: tuple[EndpointAddress, ...]
    ports: Ports


@dataclass(frozen=True, slots=True)
class Endpoints:
    """A v1 Endpoints object. `unread` tells what could not be read."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    subsets: tuple[Subset, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[Mapping[str, Any], ...] = ()  # ownerReferences and finalizers are others', and stay as they are
    finalizers: tuple[str, ...] = ()
    unread: tuple[Notice, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`, which is also its Service's."""
        return f"{self.namespace}/{self.name}"

    @property
    def reference(self) -> Reference:
        """What an Event about this object points at."""
        return Reference("Endpoints", self.namespace, self.name, self.uid)

    @property
    def ours(self) -> bool:
        """Whether the endpoints controller wrote it, and not a person."""
        return self.labels.get(ENDPOINTS_MANAGED_BY) == ENDPOINTS_CONTROLLER


def desired(
    service: Service, pods: Iterable[Pod], existing: Endpoints | None, *, trigger_time: str = ""
) -> Endpoints | None:
    """Give the Endpoints that a Service must have, or None where the `existing` ones say the same."""
    subsets, truncated = _truncated(_subsets(service, pods))
    labels = {name: value for name, value in service.labels.items() if name != HEADLESS}
    labels |= {ENDPOINTS_MANAGED_BY: ENDPOINTS_CONTROLLER} | ({HEADLESS: ""} if service.headless else {})
    old = existing or Endpoints(service.namespace, service.name)
    was_truncated = old.annotations.get(OVER_CAPACITY) == "truncated"
    now, then = (subsets, labels, truncated, ()), (old.subsets, old.labels, was_truncated, old.unread)
    if existing and now == then:
        return None
    annotations = {k: v for k, v in old.annotations.items() if k not in (TRIGGER_TIME, OVER_CAPACITY)}
    annotations |= {TRIGGER_TIME: trigger_time} if trigger_time else {}
    annotations |= {OVER_CAPACITY: "truncated"} if truncated else {}
    return replace(old, subsets=subsets, labels=labels, annotations=annotations, unread=())


def read(obj: Json) -> Endpoints:
    """Read a v1 Endpoints object, leaving out (and naming) what cannot be read."""
    meta = obj["metadata"]
    unread: list[Notice] = []
    subsets = tuple(
        Subset(
            _sorted(_read_addresses(subset.get("addresses"), f"subsets[{index}].addresses", unread)),
            _sorted(_read_addresses(subset.get("notReadyAddresses"), f"subsets[{index}].notReadyAddresses", unread)),
            in_order(_read_ports(subset.get("ports"), f"subsets[{index}].ports", unread)),
        )
        for index, subset in enumerate(obj.get("subsets") or ())
    )
    return Endpoints(
        namespace=meta.get("namespace") or "default",
        name=meta["name"],
        uid=meta.get("uid") or "",
        resource_version=meta.get("resourceVersion") or "",
        subsets=tuple(sorted(subsets, key=_order)),
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
        owners=tuple(meta.get("ownerReferences") or ()),
        finalizers=tuple(meta.get("finalizers") or ()),
        unread=tuple(unread),
    )


def _subsets(service: Service, pods: Iterable[Pod]) -> tuple[Subset, ...]:
    """Pack the pods' addresses: ports that the very same addresses serve share a subset.

    Where neither families nor addresses of the Service say which family comes first, the first of each pod does.
    """
    found: list[tuple[EndpointAddress, bool]] = []  # and whether each is ready
    served: dict[EndpointPort | None, list[int]] = {}  # by which of `found`; None where the Service has no ports
    family = next(iter(declared_families(service)), 0)
    for pod in pods:
        ip = next((ip for ip in pod.ips if ip.version == family or not family), None)
        if ip is None or not is_behind(pod) or (pod.terminating and not service.publish_not_ready):
            continue
        for port in _ports(service, pod):
            served.setdefault(port, []).append(len(found))
        target = Reference("Pod", pod.namespace, pod.name, pod.uid)
        address = EndpointAddress(ip, hostname_of(service, pod), pod.node_name, target)
        found.append((address, pod.ready or service.publish_not_ready))
    alike: dict[tuple[int, ...], list[EndpointPort]] = {}
    for port, members in served.items():
        alike.setdefault(tuple(members), []).extend([port] if port else [])
    subsets = (_subset([found[index] for index in members], ports) for members, ports in alike.items())
    return tuple(sorted(subsets, key=_order))


def _subset(members: Iterable[tuple[EndpointAddress, bool]], ports: Iterable[EndpointPort]) -> Subset:
    ready: list[EndpointAddress] = []
    not_ready: list[EndpointAddress] = []
    for address, is_ready in members:
        (ready if is_ready else not_ready).append(address)
    return Subset(_sorted(ready), _sorted(not_ready), in_order(ports))


def _ports(service: Service, pod: Pod) -> Iterator[EndpointPort | None]:
    """Give the ports a pod serves; a headless Service may have none, which is one None."""
    for port in service.ports:
        number = target_number(port.target_port, port.protocol, pod)
        if number:
            yield EndpointPort(port.name, port.protocol, number, port.app_protocol)
    if service.headless and not service.ports:
        yield None


def _truncated(subsets: tuple[Subset, ...]) -> tuple[tuple[Subset, ...], bool]:
    """Keep at most MOST_ADDRESSES: ready ones first, each subset in proportion to what it has."""
    ready = [len(subset.ready) for subset in subsets]
    not_ready = [len(subset.not_ready) for subset in subsets]
    if sum(ready) + sum(not_ready) <= MOST_ADDRESSES:
        return subsets, False
    kept = _shares(ready, MOST_ADDRESSES)
    rest = _shares(not_ready, MOST_ADDRESSES - sum(kept))
    cut = (
        Subset(subset.ready[:most], subset.not_ready[:others], subset.ports)
        for subset, most, others in zip(subsets, kept, rest, strict=True)
    )
    return tuple(subset for subset in cut if subset.ready or subset.not_ready), True


def _shares(sizes: list[int], total: int) -> list[int]:
    """Divide `total` among groups in proportion to their sizes, whole numbers only, using all of it where possible."""
    everything = sum(sizes)
    if everything <= total:
        return sizes
    shares = [size * total // everything for size in sizes]
    for index in sorted(range(len(sizes)), key=lambda i: (-(sizes[i] * total % everything), i))[: total - sum(shares)]:
        shares[index] += 1
    return shares


def _sorted(addresses: Iterable[EndpointAddress]) -> tuple[EndpointAddress, ...]:
    return tuple(sorted(addresses, key=lambda a: (a.ip.version, int(a.ip), a.target.name if a.target else "")))


def _order(subset: Subset) -> tuple[object, ...]:
    return tuple((p.name, p.protocol, p.port) for p in subset.ports)


def _read_addresses(items: Any, where: str, unread: list[Notice]) -> Iterator[EndpointAddress]:
    for index, item in enumerate(items or ()):
        try:
            ip = ip_address(item["ip"])
        except (ValueError, KeyError, TypeError) as error:
            unread.append(Notice(Reason.INVALID_ADDRESS, f"{where}[{index}].ip", str(error)))
            continue
        target = item.get("targetRef")
        yield EndpointAddress(ip, item.get("hostname") or "", item.get("nodeName") or "", _read_target(target))


def _read_target(target: Json | None) -> Reference | None:
    if not target:
        return None
    names = (target.get("kind") or "", target.get("namespace") or "", target.get("name") or "")
    return Reference(*names, target.get("uid") or "", target.get("apiVersion") or "v1")


def _read_ports(items: Any, where: str, unread: list[Notice]) -> Iterator[EndpointPort]:
    for index, item in enumerate(items or ()):
        try:
            protocol = Protocol(item.get("protocol") or "TCP")
            yield EndpointPort(item.get("name") or "", protocol, int(item["port"]), item.get("appProtocol"))
        except (ValueError, KeyError, TypeError) as error:
            unread.append(Notice(Reason.LEFT_OUT, f"{where}[{index}]", str(error)))
