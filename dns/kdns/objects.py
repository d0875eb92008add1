"""Services and EndpointSlices, as much of them as names need: there may be a hundred thousand endpoints. Pure.

The API's objects are read by `kapi.decode`; what is kept of them are tuples of octets and short texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from kapi import decode, network
from kapi.network import Reference, ServiceType

Json = dict[str, Any]


class Port(NamedTuple):
    """A port of a Service or of endpoints; the protocol is in lower case, as it stands in names."""

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
    """Read a v1 Service."""
    read = decode.service(obj)
    return Service(
        read.namespace,
        read.name,
        read.uid,
        read.type is ServiceType.EXTERNAL_NAME,
        read.headless,
        tuple(address.packed for address in read.cluster_ips),
        _ports(read.ports),
        read.external_name,
        read.publish_not_ready,
        bool(read.selector),
    )


def endpoint_slice(obj: Json) -> Slice:
    """Read an EndpointSlice without the names of pods."""
    return _slice(obj, pods=False)


def endpoint_slice_with_pods(obj: Json) -> Slice:
    """Read an EndpointSlice."""
    return _slice(obj, pods=True)


def _slice(obj: Json, *, pods: bool) -> Slice:
    read = decode.endpoint_slice(obj)
    backends = (
        Backend(address.packed, endpoint.hostname, endpoint.pod if pods else "", endpoint.ready)
        for endpoint in read.endpoints
        for address in endpoint.addresses
    )
    key = read.service_key if read.service else ""
    return Slice(read.name, key, tuple(backends), _ports(read.ports), read.trigger_time)


def _ports(ports: Iterable[network.ServicePort | network.EndpointPort]) -> tuple[Port, ...]:
    return _same(tuple(Port(port.name, port.protocol.lower(), port.port) for port in ports))


@lru_cache(maxsize=4096)
def _same(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Give equal ports as the same object: few Services have ports that no other has."""
    return ports
