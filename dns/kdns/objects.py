"""Services and EndpointSlices, as much of them as names need: there may be a hundred thousand endpoints. Pure.

They are read straight from the API's JSON into tuples of octets and short texts: what others need of these objects
would take most of the time until all names are known. What is accepted is what `kapi.decode` accepts. A part that
cannot be read is left out, and spoils nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from kapi import decode
from kapi.network import Reference

Json = dict[str, Any]

_OCTETS = {str(octet): octet for octet in range(256)}
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_SIZES = {"IPv4": 4, "IPv6": 16}  # of an address, by a slice's addressType
_OF_SERVICE = "kubernetes.io/service-name"
_TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"


class Port(NamedTuple):
    """A port of a Service or of endpoints; the protocol is in lower case, as it stands in names.

    The number 0 is that of endpoints' ports that say none: they have addresses at their names, and no SRV records.
    """

    name: str
    protocol: str
    number: int


class Service(NamedTuple):
    """A v1 Service; `addresses` are its ClusterIPs, packed. One with an `external_name` is an alias."""

    namespace: str
    name: str
    uid: str
    alias: bool
    headless: bool
    addresses: tuple[bytes, ...]
    ports: tuple[Port, ...]
    external_name: str
    publish_not_ready: bool
    selects: bool

    @property
    def reference(self) -> Reference:
        """What an Event about it points at."""
        return Reference("Service", self.namespace, self.name, self.uid)


class Backend(NamedTuple):
    """One address of an endpoint, packed; `pod` is kept only where endpoints may be called after pods."""

    address: bytes
    hostname: str
    pod: str
    ready: bool


class Slice(NamedTuple):
    """A discovery.k8s.io/v1 EndpointSlice; `service` is the key of its Service, "" where it names none."""

    name: str
    service: str
    backends: tuple[Backend, ...]
    ports: tuple[Port, ...]
    trigger_time: str


def service(obj: Json) -> Service:
    """Read a v1 Service. Raises DecodeError where it has no name."""
    namespace, name, meta = decode.identity(obj, "Service")
    spec = decode.as_object(obj.get("spec"))
    alias = spec.get("type") == "ExternalName"
    declared = _texts(spec.get("clusterIPs")) or _texts([spec.get("clusterIP")])
    headless = not alias and "None" in declared
    return Service(
        namespace,
        name,
        _text(meta.get("uid")),
        alias,
        headless,
        () if alias or headless else tuple(filter(None, map(_address, declared))),
        _ports(spec.get("ports"), of_endpoints=False),
        _text(spec.get("externalName")),
        bool(spec.get("publishNotReadyAddresses")),
        bool(spec.get("selector")),
    )


def endpoint_slice(obj: Json) -> Slice:
    """Read an EndpointSlice without the names of pods. Raises DecodeError where it has no name."""
    return _slice(obj, pods=False)


def endpoint_slice_with_pods(obj: Json) -> Slice:
    """Read an EndpointSlice. Raises DecodeError where it has no name."""
    return _slice(obj, pods=True)


def _slice(obj: Json, *, pods: bool) -> Slice:
    namespace, name, meta = decode.identity(obj, "EndpointSlice")
    of = _text(decode.as_object(meta.get("labels")).get(_OF_SERVICE))
    triggered = _text(decode.as_object(meta.get("annotations")).get(_TRIGGERED))
    size = _SIZES.get(_text(obj.get("addressType")))
    backends = tuple(_backends(_listed(obj.get("endpoints")), size, pods=pods)) if size else ()
    ports = _ports(obj.get("ports"), of_endpoints=True)
    return Slice(name, f"{namespace}/{of}" if of else "", backends, ports, triggered)


def _backends(endpoints: list[Any], size: int, *, pods: bool) -> Iterator[Backend]:
    """Read endpoints; addresses of another size than the slice's family has are left out."""
    for item in endpoints:
        endpoint = decode.as_object(item)
        hostname = _text(endpoint.get("hostname"))
        ready = decode.as_object(endpoint.get("conditions")).get("ready")
        for text in _texts(endpoint.get("addresses")):
            address = _address(text)
            if len(address) == size:
                yield Backend(address, hostname, _pod(endpoint) if pods else "", ready is None or bool(ready))


def _pod(endpoint: Json) -> str:
    target = decode.as_object(endpoint.get("targetRef"))
    return _text(target.get("name")) if target.get("kind") == "Pod" else ""


def _ports(items: Any, *, of_endpoints: bool) -> tuple[Port, ...]:
    """Read ports. Those of endpoints need names, be they empty, and may have no number; those of Services need one."""
    found = []
    for item in _listed(items):
        port = decode.as_object(item)
        name, number = port.get("name"), port.get("port")
        protocol = _PROTOCOLS.get(_text(port.get("protocol") or "TCP"))
        numbered = type(number) is int and 0 < number < 65536
        if protocol and (numbered or (number is None and of_endpoints)) and (name is not None or not of_endpoints):
            found.append(Port(_text(name), protocol, number or 0))
    return _same(tuple(found))


@lru_cache(maxsize=4096)
def _same(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Give equal ports as the same object: few Services have ports that no other has."""
    return ports


def _address(text: str) -> bytes:
    """Pack an address; nothing for what is none. Nearly all are IPv4, which is read here in a fifth of the time."""
    try:
        first, second, third, fourth = text.split(".")
        return bytes((_OCTETS[first], _OCTETS[second], _OCTETS[third], _OCTETS[fourth]))
    except (ValueError, KeyError):
        pass
    try:
        return ip_address(text).packed
    except ValueError:
        return b""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [item for item in _listed(value) if isinstance(item, str) and item]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
