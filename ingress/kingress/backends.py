"""Which addresses stand behind a Service port, and if none, why. Pure.

The endpoints are used directly, not the Service's cluster IP, so that every request can be balanced and retried. Those
that are ready are used; where there is none, those that still serve while they terminate (KEP-1669).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kapi.network import EndpointSlice, Protocol, Service, ServicePort, ServiceType
from kingress.objects import BackendRef

Address = tuple[str, int]
_Found = tuple[Address, tuple[str, ...]]  # an address, and the zones it is hinted for


@dataclass(frozen=True, slots=True)
class Resolution:
    """The addresses (host and port) of a backend; where there are none, `reason` is a sentence that says why."""

    addresses: tuple[Address, ...] = ()
    reason: str = ""


def resolve(ref: BackendRef, service: Service | None, slices: Collection[EndpointSlice], zone: str = "") -> Resolution:
    """Give the addresses of a Service port; where every endpoint has hints, only those for `zone` (KEP-2433)."""
    if not ref.service:
        return Resolution(reason="No Service is named.")
    if service is None:
        return Resolution(reason=f"Service {ref.service_key} does not exist.")
    if service.type is ServiceType.EXTERNAL_NAME:
        return _external(ref, service)
    port = _port(ref, service)
    if port is None:
        has = ", ".join(f"{p.port} ({p.name})" if p.name else str(p.port) for p in service.ports) or "none"
        return Resolution(reason=f"Service {ref.service_key} has no TCP port {ref.port}; its ports are: {has}.")
    ready, draining, known = _endpoints(port, service, slices)
    addresses = tuple(dict.fromkeys(_near(ready, zone) or (address for address, _ in draining)))
    if addresses:
        return Resolution(addresses)
    return Resolution(reason=f"Service {ref.service_key} port {ref.port} has no ready endpoints (of {known}).")


def _external(ref: BackendRef, service: Service) -> Resolution:
    port = _port(ref, service)
    number = port.port if port else ref.port
    if isinstance(number, str):
        return Resolution(reason=f"Service {ref.service_key} is an ExternalName without a port called {number}.")
    if not service.external_name:
        return Resolution(reason=f"Service {ref.service_key} is an ExternalName without a name.")
    return Resolution(((service.external_name, number),))


def _port(ref: BackendRef, service: Service) -> ServicePort | None:
    tcp = (port for port in service.ports if port.protocol is Protocol.TCP)
    return next((port for port in tcp if ref.port in (port.port, port.name)), None)


def _near(ready: list[_Found], zone: str) -> list[Address]:
    """Give those hinted for a zone; all, where one has no hints or none is for this zone."""
    near = [address for address, hints in ready if zone in hints] if all(hints for _, hints in ready) else []
    return near or [address for address, _ in ready]


def _endpoints(
    port: ServicePort, service: Service, slices: Collection[EndpointSlice]
) -> tuple[list[_Found], list[_Found], int]:
    """Give the ready addresses, those that serve while they terminate, and how many endpoints there are."""
    ready: list[_Found] = []
    draining: list[_Found] = []
    known = 0
    family = _family(service, slices)
    for each in sorted(slices, key=lambda each: each.name):
        numbers = [p.port for p in each.ports if p.name == port.name and p.protocol is Protocol.TCP]
        if each.family != family or not numbers:
            continue
        known += len(each.endpoints)
        for endpoint in each.endpoints:
            found = ((str(endpoint.addresses[0]), numbers[0]), endpoint.zone_hints)
            if endpoint.ready:
                ready.append(found)
            elif endpoint.serving and endpoint.terminating:
                draining.append(found)
    return ready, draining, known


def _family(service: Service, slices: Collection[EndpointSlice]) -> int:
    """A pod of a dual-stack Service is in a slice of each family: one family is enough, the Service's first."""
    present = {each.family for each in slices if each.endpoints}
    return next((family for family in (*service.ip_families, 4, 6) if family in present), 0)
