"""Which names a Service has: the DNS-based service discovery of Kubernetes, schema 1.1.0. Pure.

One Service and its EndpointSlices go in, its records come out; no other Service is looked at, so a change costs as
much as the Service it touches. Where the specification is silent the names are those of CoreDNS, on which people rely:
SRV at the bare name, endpoint names below every kind of Service, and addresses at `_port._proto`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from kapi.network import Address, Endpoint, EndpointPort, EndpointSlice, Problem, Service, ServicePort, ServiceType
from kdns import names
from kdns.errors import NameInvalid
from kdns.wire import Type

SCHEMA_VERSION = "1.1.0"
_MOST_PORTS = 50_000  # ports of all endpoints of one Service that get SRV records: slices may have 20,000 ports each


@dataclass(frozen=True, slots=True)
class Srv:
    """The data of an SRV record (RFC 2782); the priority is always 0."""

    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """The data of a PTR record. `of_service` marks a ClusterIP's, which hides those of endpoints at that address."""

    target: str
    of_service: bool = False


Data = Address | Srv | Pointer | str


@dataclass(frozen=True, slots=True)
class Record:
    """One record: a name (lower-case text, no final dot), its type, and data (text for NS, CNAME and TXT)."""

    name: str
    type: Type
    data: Data


@dataclass(frozen=True, slots=True)
class Names:
    """The records of one object, and what of it could not be given a name."""

    records: tuple[Record, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Backend:
    """One address of one ready endpoint with its own name, and the ports of its slice."""

    address: Address
    name: str
    ports: tuple[EndpointPort, ...]


def service_names(
    service: Service,
    slices: Iterable[EndpointSlice],
    zone: str,
    *,
    pod_names: bool = False,
    empty_services: bool = True,
) -> Names:
    """Give the records of a Service in the cluster zone `zone`.

    With `pod_names`, endpoints without a hostname are called after their pods. Without `empty_services`, a Service with
    a ClusterIP and no ready endpoint has no names.
    """
    problems: list[Problem] = []
    base = _base(service, zone, problems)
    if base is None:
        return Names((), tuple(problems))
    if service.type is ServiceType.EXTERNAL_NAME:
        records = list(_alias(service, base, problems))
    else:
        ports = _named(service.ports, "spec.ports", problems)
        backends = list(_backends(service, slices, base, problems, pod_names=pod_names))
        if not (backends or service.headless or empty_services):
            return Names((), tuple(problems))
        records = list(_headless(base, backends, problems) if service.headless else _cluster_ip(service, ports, base))
        if service.headless or service.cluster_ips:
            records += _endpoint_names(backends)
    return Names(tuple(records), tuple(problems))


def apex_records(zone: str, servers: Iterable[str], addresses: Iterable[Address]) -> tuple[Record, ...]:
    """Give the records of the zone itself: its version, and its name servers.

    `servers` are the names of this server's own Services; without any, the server is `ns.dns` at `addresses`.
    """
    fallback = f"ns.dns.{zone}"
    records = [Record(f"dns-version.{zone}", Type.TXT, SCHEMA_VERSION)]
    records += [Record(zone, Type.NS, name) for name in (sorted(servers) or [fallback])]
    return (*records, *(Record(fallback, _type_of(address), address) for address in addresses))


def _base(service: Service, zone: str, problems: list[Problem]) -> str | None:
    """Give the Service's own name, or None where its parts are no labels."""
    for field, label in (("metadata.name", service.name), ("metadata.namespace", service.namespace)):
        if not names.is_label(label):
            problems.append(
                Problem(field, f"{label!r} cannot be a label of a domain name, so the Service has no names")
            )
            return None
    return f"{service.name}.{service.namespace}.svc.{zone}".lower()


def _alias(service: Service, base: str, problems: list[Problem]) -> Iterator[Record]:
    try:
        names.check_hostname(service.external_name)
    except NameInvalid as error:
        problems.append(Problem("spec.externalName", f"{error}; the Service has no CNAME"))
        return
    yield Record(base, Type.CNAME, service.external_name.removesuffix(".").lower())


def _named(ports: tuple[ServicePort, ...], path: str, problems: list[Problem]) -> tuple[ServicePort, ...]:
    """Take away the names, not the ports, that cannot stand in an SRV owner."""
    for index, port in enumerate(ports):
        if port.name and not _fits_srv(port.name):
            problems.append(
                Problem(f"{path}[{index}].name", f"{port.name!r} cannot be a label, so it has no SRV record")
            )
    return ports


def _cluster_ip(service: Service, ports: tuple[ServicePort, ...], base: str) -> Iterator[Record]:
    addresses = service.cluster_ips
    for address in addresses:
        yield Record(base, _type_of(address), address)
        yield Record(names.reverse_name(address), Type.PTR, Pointer(base, of_service=True))
    for port in ports if addresses else ():
        yield Record(base, Type.SRV, Srv(_weight(len(ports) * len(addresses)), port.port, base))
        if _fits_srv(port.name):
            owner = _srv_owner(port.name, port.protocol, base)
            yield Record(owner, Type.SRV, Srv(_weight(len(addresses)), port.port, base))
            for address in addresses:
                yield Record(owner, _type_of(address), address)


def _headless(base: str, backends: list[_Backend], problems: list[Problem]) -> Iterator[Record]:
    for backend in backends:
        yield Record(base, _type_of(backend.address), backend.address)
    total = sum(len(backend.ports) for backend in backends)
    if total > _MOST_PORTS:
        said = f"the endpoints have more than {_MOST_PORTS} ports in all; only the first of them have SRV records"
        problems.append(Problem("ports of EndpointSlices", said))
    pairs = list(islice(((backend, port) for backend in backends for port in backend.ports), _MOST_PORTS))
    owners = [_srv_owner(port.name, port.protocol, base) for _, port in pairs]
    sharing = Counter(owners)
    for (backend, port), owner in zip(pairs, owners, strict=True):
        yield Record(base, Type.SRV, Srv(_weight(total), port.port, backend.name))
        if _fits_srv(port.name):
            yield Record(owner, Type.SRV, Srv(_weight(sharing[owner]), port.port, backend.name))
            yield Record(owner, _type_of(backend.address), backend.address)


def _endpoint_names(backends: list[_Backend]) -> Iterator[Record]:
    for backend in backends:
        yield Record(backend.name, _type_of(backend.address), backend.address)
        yield Record(names.reverse_name(backend.address), Type.PTR, Pointer(backend.name))


def _backends(
    service: Service, slices: Iterable[EndpointSlice], base: str, problems: list[Problem], *, pod_names: bool
) -> Iterator[_Backend]:
    for piece in slices:
        for index, endpoint in enumerate(piece.endpoints):
            if not (endpoint.ready or service.publish_not_ready):
                continue
            for address in endpoint.addresses:
                where = f"endpoints[{index}] of EndpointSlice {piece.name}"
                label = _hostname(endpoint, address, where, problems)
                if pod_names and not endpoint.hostname and names.is_label(endpoint.pod):
                    label = endpoint.pod
                yield _Backend(address, f"{label}.{base}", piece.ports)


def _hostname(endpoint: Endpoint, address: Address, where: str, problems: list[Problem]) -> str:
    if not endpoint.hostname:
        return names.dashed(address)
    if names.is_label(endpoint.hostname):
        return endpoint.hostname.lower()
    problems.append(
        Problem(where, f"the hostname {endpoint.hostname!r} cannot be a label; the address names it instead")
    )
    return names.dashed(address)


def _srv_owner(port: str, protocol: str, base: str) -> str:
    return f"_{port}._{protocol}.{base}".lower()


def _fits_srv(port: str) -> bool:
    return names.is_label(port) and len(port) < 63  # the underscore before it takes a place


def _weight(records: int) -> int:
    return max(1, 100 // records)


def _type_of(address: Address) -> Type:
    return Type.A if address.version == 4 else Type.AAAA
