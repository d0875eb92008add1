"""From API JSON to the values of `kapi.network`. Pure.

One bad part never spoils the rest: it is left out and named in `problems`, for an Event and a log line. Only an
object without a name cannot be used at all (`DecodeError`). The defaults are those of the API reference, so that an
object from a file, which no API server has filled in, means the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from kapi import quantities
from kapi.errors import DecodeError
from kapi.network import (
    Address,
    ContainerPort,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    LoadBalancerAddress,
    Network,
    Node,
    Pod,
    Problem,
    Protocol,
    Reference,
    Service,
    ServicePort,
    ServiceType,
    TrafficPolicy,
)

Json = dict[str, Any]
T = TypeVar("T")

_FAMILIES = {"IPv4": 4, "IPv6": 6}
_DEFAULT_AFFINITY_SECONDS = 10800
_HEADLESS = "None"
_LEADING_ZEROS = re.compile(r"\b0+(?=\d)")


def service(obj: Json) -> Service:
    """Read a v1 Service."""
    namespace, name, meta = identity(obj, "Service")
    spec = as_object(obj.get("spec"))
    problems: list[Problem] = []
    kind = _choice(ServiceType, spec.get("type"), ServiceType.CLUSTER_IP, "spec.type", problems)
    declared = _strings(spec.get("clusterIPs")) or _strings([spec.get("clusterIP")])
    headless = kind is not ServiceType.EXTERNAL_NAME and _HEADLESS in declared
    declared_ranges = spec.get("loadBalancerSourceRanges") or ()
    ranges: tuple[Network, ...] = _each(declared_ranges, "spec.loadBalancerSourceRanges", _source_range, problems)
    owns_address = kind is not ServiceType.EXTERNAL_NAME and not headless
    return Service(
        namespace=namespace,
        name=name,
        uid=_text(meta.get("uid")),
        type=kind,
        headless=headless,
        cluster_ips=_addresses(declared, "spec.clusterIPs", problems) if owns_address else (),
        ports=_each(spec.get("ports"), "spec.ports", _service_port, problems),
        selector=_labels(spec["selector"]) if isinstance(spec.get("selector"), dict) else None,
        external_ips=_addresses(spec.get("externalIPs"), "spec.externalIPs", problems),
        load_balancer=_load_balancer(obj, problems),
        load_balancer_names=_load_balancer_names(obj),
        source_ranges=ranges,
        unread_ranges=len(ranges) < len(declared_ranges)
        if isinstance(declared_ranges, list)
        else bool(declared_ranges),
        external_name=_text(spec.get("externalName")),
        external_policy=_policy(spec, "externalTrafficPolicy", problems),
        internal_policy=_policy(spec, "internalTrafficPolicy", problems),
        affinity_seconds=_affinity(spec),
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
        health_check_node_port=_number(spec.get("healthCheckNodePort")),
        ip_families=_each(spec.get("ipFamilies"), "spec.ipFamilies", _family, problems),
        labels=_labels(meta.get("labels")),
        annotations=_labels(meta.get("annotations")),
        traffic_distribution=_text(spec.get("trafficDistribution")),
        created=_text(meta.get("creationTimestamp")),
        terminating="deletionTimestamp" in meta,
        resource_version=_text(meta.get("resourceVersion")),
        problems=tuple(problems),
    )


def endpoint_slice(obj: Json) -> EndpointSlice:
    """Read a discovery.k8s.io/v1 EndpointSlice. Addresses of the wrong family are left out."""
    namespace, name, meta = identity(obj, "EndpointSlice")
    problems: list[Problem] = []
    family = _FAMILIES.get(_text(obj.get("addressType")), 0)
    labels = _labels(meta.get("labels"))
    annotations = _labels(meta.get("annotations"))

    return EndpointSlice(
        namespace=namespace,
        name=name,
        uid=_text(meta.get("uid")),
        service=_text(labels.get("kubernetes.io/service-name")),
        family=family,
        endpoints=_endpoints(obj.get("endpoints") if family else None, family, problems),
        ports=_each(obj.get("ports"), "ports", _endpoint_port, problems),
        labels=labels,
        annotations=annotations,
        owner=_owner(namespace, meta),
        other_owners=tuple(owner for owner in _objects(meta.get("ownerReferences")) if not owner.get("controller")),
        finalizers=tuple(_strings(meta.get("finalizers"))),
        generation=_number(meta.get("generation")),
        resource_version=_text(meta.get("resourceVersion")),
        trigger_time=_text(annotations.get("endpoints.kubernetes.io/last-change-trigger-time")),
        problems=tuple(problems),
    )


def node(obj: Json) -> Node:
    """Read a v1 Node."""
    _, name, meta = identity(obj, "Node")
    spec, status = as_object(obj.get("spec")), as_object(obj.get("status"))
    problems: list[Problem] = []
    internal = [a.get("address") for a in _objects(status.get("addresses")) if a.get("type") == "InternalIP"]
    conditions = {_text(c.get("type")): c.get("status") for c in _objects(status.get("conditions"))}
    return Node(
        name=name,
        uid=_text(meta.get("uid")),
        addresses=_addresses(internal, "status.addresses", problems),
        pod_cidrs=_networks(spec.get("podCIDRs") or [spec.get("podCIDR")], "spec.podCIDRs", problems),
        labels=_labels(meta.get("labels")),
        taints=tuple(str(t.get("key")) for t in _objects(spec.get("taints"))),
        milli_cpu=_milli_cpu(as_object(status.get("allocatable")).get("cpu"), problems),
        ready=conditions.get("Ready", "True") == "True",
        terminating="deletionTimestamp" in meta,
        problems=tuple(problems),
    )


def _milli_cpu(quantity: Any, problems: list[Problem]) -> int:
    try:
        return int(quantities.parse(quantity) * 1000) if quantity is not None else 0
    except quantities.QuantityError as error:
        problems.append(Problem("status.allocatable.cpu", str(error)))
        return 0


def pod(obj: Json) -> Pod:
    """Read a v1 Pod."""
    namespace, name, meta = identity(obj, "Pod")
    spec, status = as_object(obj.get("spec")), as_object(obj.get("status"))
    problems: list[Problem] = []
    addresses = [i.get("ip") for i in _objects(status.get("podIPs"))] or [status.get("podIP")]
    ready = next((c for c in _objects(status.get("conditions")) if c.get("type") == "Ready"), {})
    return Pod(
        namespace=namespace,
        name=name,
        uid=_text(meta.get("uid")),
        phase=_text(status.get("phase")) or "Pending",
        ips=_addresses(addresses, "status.podIPs", problems),
        node_name=_text(spec.get("nodeName")),
        ready=ready.get("status") == "True",
        terminating="deletionTimestamp" in meta,
        ready_since=_text(ready.get("lastTransitionTime")),
        hostname=_text(spec.get("hostname")),
        subdomain=_text(spec.get("subdomain")),
        ports=_container_ports(spec),
        labels=_labels(meta.get("labels")),
        annotations=_labels(meta.get("annotations")),
        resource_version=_text(meta.get("resourceVersion")),
        problems=tuple(problems),
    )


def identity(obj: Any, kind: str) -> tuple[str, str, Json]:
    """Give namespace, name and metadata of an object. Raises DecodeError where it has no name."""
    meta = obj.get("metadata") if isinstance(obj, dict) else None
    name = meta.get("name") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(name, str) or not name:
        raise DecodeError(f"{kind} without metadata.name: {str(obj)[:120]}")
    return meta.get("namespace") or ("" if kind == "Node" else "default"), name, meta


def as_object(value: Any) -> Json:
    """Give a JSON object as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _labels(value: Any) -> Mapping[str, str]:
    """A map of strings; the very dictionary that came, where it is one, since most are and there are many."""
    if not isinstance(value, dict):
        return {}
    if all(isinstance(item, str) for item in value.values()):
        return value
    return {name: item for name, item in value.items() if isinstance(item, str)}


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str) and item] if isinstance(value, list) else []


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _choice(kind: type[T], value: Any, default: T, path: str, problems: list[Problem]) -> T:
    if value is None or value == "":
        return default
    try:
        return kind(value)  # type: ignore[call-arg]  # an enum is called with its value
    except ValueError:
        problems.append(Problem(path, f"{value!r} is not a known value; {default} is used"))
        return default


def _policy(spec: Json, name: str, problems: list[Problem]) -> TrafficPolicy:
    return _choice(TrafficPolicy, spec.get(name), TrafficPolicy.CLUSTER, f"spec.{name}", problems)


def _affinity(spec: Json) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = as_object(as_object(spec.get("sessionAffinityConfig")).get("clientIP"))
    return _number(config.get("timeoutSeconds")) or _DEFAULT_AFFINITY_SECONDS


def _each(items: Any, path: str, read: Callable[[Json, str], T | None], problems: list[Problem]) -> tuple[T, ...]:
    """Read every item of a list, leaving out (and naming) those that cannot be read."""
    found: list[T] = []
    for index, item in enumerate(items if isinstance(items, list) else ()):
        where = f"{path}[{index}]"
        try:
            value = read(item, where)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            problems.append(Problem(where, str(error)))
        else:
            if value is not None:
                found.append(value)
    return tuple(found)


def _addresses(items: Any, path: str, problems: list[Problem]) -> tuple[Address, ...]:
    def read(item: Any, _: str) -> Address | None:
        return ip_address(item) if item else None

    return _each(items, path, read, problems)


def _networks(items: Any, path: str, problems: list[Problem]) -> tuple[Network, ...]:
    def read(item: Any, _: str) -> Network | None:
        return network(item) if item else None

    return _each(items, path, read, problems)


def network(text: str) -> Network:
    """Read a network as Kubernetes does: padded with spaces, with leading zeros, which are decimal, or host bits.

    Raises ValueError.
    """
    text = text.strip()
    return ip_network(text if ":" in text else _LEADING_ZEROS.sub("", text), strict=False)


def _source_range(item: Any, _: str) -> Network:
    if not isinstance(item, str):
        raise ValueError(f"{item!r} is not a network (like 10.9.8.0/24)")  # noqa: TRY004  # told like any other
    return network(item)


def _family(item: Any, _: str) -> int:
    if item not in _FAMILIES:
        raise ValueError(f"{item!r} is not a known family (IPv4, IPv6)")
    return _FAMILIES[item]


def _port_number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
        raise ValueError(f"{value!r} is not a port number (1-65535)")
    return value


def _service_port(item: Json, _: str) -> ServicePort:
    number = _port_number(item.get("port"))
    node_port = item.get("nodePort")
    return ServicePort(
        name=_text(item.get("name")),
        protocol=Protocol(item.get("protocol") or "TCP"),
        port=number,
        target_port=item.get("targetPort") or number,
        node_port=_port_number(node_port) if node_port else 0,
        app_protocol=item.get("appProtocol"),
    )


def _endpoint_port(item: Json, _: str) -> EndpointPort | None:
    if item.get("name") is None or not item.get("port"):
        return None  # "all ports" is not a thing a service proxy can do
    return EndpointPort(
        name=item["name"],
        protocol=Protocol(item.get("protocol") or "TCP"),
        port=_port_number(item["port"]),
        app_protocol=item.get("appProtocol"),
    )


@lru_cache(maxsize=1 << 16)  # of the endpoints of a slice that has changed, nearly all are as they were
def _read_address(text: str) -> Address:
    return ip_address(text)


def _endpoints(items: Any, family: int, problems: list[Problem]) -> tuple[Endpoint, ...]:
    """Read the endpoints of a slice as `_each` does, with nothing to spare: all are read whenever one changes."""
    found: list[Endpoint] = []
    for index, item in enumerate(items if isinstance(items, list) else ()):
        try:
            endpoint = _endpoint(item, index, family, problems)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            problems.append(Problem(f"endpoints[{index}]", str(error)))
        else:
            if endpoint is not None:
                found.append(endpoint)
    return tuple(found)


def _endpoint(item: Json, index: int, family: int, problems: list[Problem]) -> Endpoint | None:
    addresses = [_read_address(address) for address in item.get("addresses") or ()]
    fitting = tuple([address for address in addresses if address.version == family])
    if len(fitting) < len(addresses):
        where = f"endpoints[{index}].addresses"
        problems.append(Problem(where, f"an address is not IPv{family}, the slice's addressType"))
    if not fitting:
        return None
    conditions = as_object(item.get("conditions"))
    hints, target = as_object(item.get("hints")), as_object(item.get("targetRef"))
    ready, serving = conditions.get("ready"), conditions.get("serving")  # not said is true, of both
    return Endpoint(
        fitting,
        ready is None or bool(ready),
        serving is None or bool(serving),
        bool(conditions.get("terminating")),
        _text(item.get("nodeName")),
        _text(item.get("zone")),
        _text(item.get("hostname")),
        _text(target.get("name")) if target.get("kind") == "Pod" else "",
        _reference(target, _text(target.get("namespace"))) if target else None,
        _names(hints.get("forZones")) if hints else (),
        _names(hints.get("forNodes")) if hints else (),
    )


def _reference(obj: Json, namespace: str) -> Reference:
    kind, name, uid = _text(obj.get("kind")), _text(obj.get("name")), _text(obj.get("uid"))
    return Reference(kind, namespace, name, uid, _text(obj.get("apiVersion")) or "v1")


def _owner(namespace: str, meta: Json) -> Reference | None:
    owners = [owner for owner in _objects(meta.get("ownerReferences")) if owner.get("controller")]
    return _reference(owners[0], namespace) if owners else None


def _names(items: Iterable[Mapping[str, str]] | None) -> tuple[str, ...]:
    return tuple(item["name"] for item in items) if items else ()


def _load_balancer(obj: Json, problems: list[Problem]) -> tuple[LoadBalancerAddress, ...]:
    status = as_object(as_object(obj.get("status")).get("loadBalancer"))

    def read(item: Json, _: str) -> LoadBalancerAddress | None:
        return LoadBalancerAddress(ip_address(item["ip"]), item.get("ipMode") == "Proxy") if item.get("ip") else None

    return _each(status.get("ingress"), "status.loadBalancer.ingress", read, problems)


def _load_balancer_names(obj: Json) -> tuple[str, ...]:
    status = as_object(as_object(obj.get("status")).get("loadBalancer"))
    return tuple(name for item in _objects(status.get("ingress")) if (name := _text(item.get("hostname"))))


def _container_ports(spec: Json) -> tuple[ContainerPort, ...]:
    sidecars = [c for c in _objects(spec.get("initContainers")) if c.get("restartPolicy") == "Always"]
    return tuple(
        ContainerPort(_text(port.get("name")), Protocol(protocol), number)
        for container in [*_objects(spec.get("containers")), *sidecars]
        for port in _objects(container.get("ports"))
        if (number := _number(port.get("containerPort")))
        and (protocol := _text(port.get("protocol")) or "TCP") in Protocol.__members__
    )
