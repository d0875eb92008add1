"""Which names a Service has: the DNS-based service discovery of Kubernetes, schema 1.1.0. Pure.

One Service and its EndpointSlices go in, its records come out; no other Service is looked at, so a change costs as
much as the Service it touches. Where the specification is silent the names are those of CoreDNS, on which people rely:
SRV at the bare name and at the names of endpoints, which every kind of Service has, and addresses at `_port._proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple

from kapi.network import Problem
from kdns import names
from kdns.errors import NameInvalid
from kdns.objects import Backend, Port, Service, Slice
from kdns.wire import Type, tail_of

SCHEMA_VERSION = "1.1.0"
_VERSION_TTL = 28_800  # seconds, as the specification has it: nothing of the cluster changes it
_MOST_PORTS = 50_000  # ports of all endpoints of one Service that get SRV records: slices may have 20,000 ports each
_A, _AAAA, _CNAME, _PTR, _SRV, _TXT = map(tail_of, (Type.A, Type.AAAA, Type.CNAME, Type.PTR, Type.SRV, Type.TXT))
_SRV_NUMBERS = struct.Struct("!HHH")  # priority, weight, port
_ANY = names.label("_")
_NO_PORTS = (Port("", "", 0),)  # of an endpoint that has none, which nevertheless counts


class Pointer(NamedTuple):
    """The data of a PTR record. `of_service` marks a ClusterIP's, which hides those of endpoints at that address."""

    target: bytes
    of_service: bool = False


class Records:
    """The records of one owner by question, in the order in which they were added; each datum once.

    Data are octets as they stand in a record. PTR records are apart: an address may have several owners.
    """

    def __init__(self) -> None:
        self.sets: dict[bytes, dict[bytes, None]] = {}
        self.ttls: dict[bytes, int] = {}  # seconds, of sets of CNAME or TXT records that have another than all others
        self.pointers: dict[bytes, dict[Pointer, None]] = {}
        self.elsewhere: dict[bytes, tuple[bytes, ...]] = {}  # addresses that others own and these records lead to

    def add(self, name: bytes, tail: bytes, *data: bytes) -> None:
        """Add records; `tail` is the end of the question for them (`wire.tail_of`). Raises `NameInvalid`."""
        question = name + tail
        known = self.sets.get(question)
        if known is None:
            names.check_length(name)
            self.sets[question] = dict.fromkeys(data)
        else:
            known.update(dict.fromkeys(data))

    def add_addresses(self, name: bytes, *addresses: bytes) -> None:
        """Add A and AAAA records, by the length of packed addresses."""
        for tail, size in ((_A, 4), (_AAAA, 16)):
            found = [address for address in addresses if len(address) == size]
            if found:
                self.add(name, tail, *found)

    def add_pointer(self, address: bytes, pointer: Pointer) -> None:
        """Add the PTR record of a packed address."""
        self.pointers.setdefault(names.reverse_wire(address) + _PTR, {})[pointer] = None


@dataclass(frozen=True, slots=True)
class Names:
    """The records of one object, and what of it could not be given a name."""

    records: Records = field(default_factory=Records)
    problems: tuple[Problem, ...] = ()


class _Named(NamedTuple):
    """One address of one ready endpoint with its own name, and the ports of its slice (else `_NO_PORTS`)."""

    address: bytes
    name: bytes
    ports: tuple[Port, ...]


def service_names(
    service: Service,
    slices: Iterable[Slice],
    zone: str,
    *,
    pod_names: bool = False,
    empty_services: bool = True,
    any_port: bool = False,
) -> Names:
    """Give the records of a Service in the cluster zone `zone`. Raises `NameInvalid` for a name that is too long.

    With `pod_names`, endpoints without a hostname are called after their pods. Without `empty_services`, a Service with
    a ClusterIP and no ready endpoint has no names, but its address has one. With `any_port`, `_` stands for any port,
    and for any protocol.

    What few ask for is left out, for it would take much memory: see `endpoint_records`.
    """
    problems: list[Problem] = []
    found = Records()
    base = _base(service, zone, problems)
    if base is None:
        return Names(found, tuple(problems))
    if service.alias:
        _alias(found, service, [base, _ANY + _ANY + base] if any_port else [base], problems)
        return Names(found, tuple(problems))
    _check_ports(service.ports, problems)
    unready = service.publish_not_ready
    backends = list(_backends(slices, base, problems, pod_names=pod_names, unready=unready))
    for address in service.addresses:
        found.add_pointer(address, Pointer(base, of_service=True))
    if not (backends or service.headless or empty_services):
        return Names(found, tuple(problems))
    if service.headless:
        _headless(found, base, backends, problems, any_port=any_port)
    else:
        _cluster_ip(found, service, base, any_port=any_port)
    if service.headless or service.addresses:
        _endpoint_names(found, backends)
    return Names(found, tuple(problems))


def endpoint_records(
    service: Service, slices: Iterable[Slice], zone: str, label: str, *, pod_names: bool = False
) -> Records:
    """Give the records at the name of an endpoint, by its label: addresses, and SRV records, which lead back to it."""
    found = Records()
    base = _base(service, zone, [])
    if base is None or service.alias:
        return found
    address = names.undashed(label)
    packed = address.packed if address else None
    chosen = (piece._replace(backends=tuple(_called(label, packed, piece.backends))) for piece in slices)
    name = names.label(label) + base
    called = _backends(chosen, base, [], pod_names=pod_names, unready=service.publish_not_ready)
    backends = [each for each in called if each.name == name]
    _add_srv(found, name, [(port, backend) for backend in backends for port in backend.ports])
    found.add_addresses(name, *[backend.address for backend in backends])
    return found


def orphan_records(key: str, slices: Iterable[Slice], zone: str, *, pod_names: bool) -> Records:
    """Give the PTR records of the endpoints of a Service that has no names of endpoints: a missing one, or an alias.

    Raises `NameInvalid` for a name that is too long.
    """
    found = Records()
    namespace, _, name = key.partition("/")
    if names.is_label(namespace) and names.is_label(name):
        base = names.to_wire(f"{name}.{namespace}.svc.{zone}")
        for backend in _backends(slices, base, [], pod_names=pod_names):
            names.check_length(backend.name)
            found.add_pointer(backend.address, Pointer(backend.name))
    return found


def version_records(zone: str) -> Records:
    """Give the record that says which names there are."""
    found = Records()
    version = SCHEMA_VERSION.encode()
    name = names.to_wire(f"dns-version.{zone}")
    found.add(name, _TXT, bytes((len(version),)) + version)
    found.ttls[name + _TXT] = _VERSION_TTL
    return found


def _base(service: Service, zone: str, problems: list[Problem]) -> bytes | None:
    """Give the Service's own name, or None where its parts are no labels."""
    for where, label in (("metadata.name", service.name), ("metadata.namespace", service.namespace)):
        if not names.is_label(label):
            said = f"{label!r} cannot be a label of a domain name, so the Service has no names"
            problems.append(Problem(where, said))
            return None
    return names.to_wire(f"{service.name}.{service.namespace}.svc.{zone}")


def _alias(found: Records, service: Service, owners: list[bytes], problems: list[Problem]) -> None:
    try:
        names.check_hostname(service.external_name)
    except NameInvalid as error:
        problems.append(Problem("spec.externalName", f"{error}; the Service has no CNAME"))
    else:
        for owner in owners:
            found.add(owner, _CNAME, names.to_wire(service.external_name))


def _check_ports(ports: Iterable[Port], problems: list[Problem]) -> None:
    """Tell of names that cannot stand in an SRV owner; the ports are there nevertheless."""
    for index, port in enumerate(ports):
        if port.name and not _fits_srv(port.name):
            said = f"{port.name!r} cannot be a label, so it has no SRV record"
            problems.append(Problem(f"spec.ports[{index}].name", said))


def _cluster_ip(found: Records, service: Service, base: bytes, *, any_port: bool) -> None:
    addresses = service.addresses
    if not addresses:
        return
    found.add_addresses(base, *addresses)
    if service.ports:
        weight = _weight(len(service.ports) * len(addresses))
        found.add(base, _SRV, *[_srv(weight, port, base) for port in service.ports])
    shared: dict[bytes, list[Port]] = {}
    for port in service.ports:
        for owner in _srv_owners(port, base, any_port=any_port):
            shared.setdefault(owner, []).append(port)
    for owner, ports in shared.items():
        weight = _weight(len(ports) * len(addresses))
        found.add(owner, _SRV, *[_srv(weight, port, base) for port in ports])
        found.add_addresses(owner, *addresses)


def _headless(found: Records, base: bytes, backends: list[_Named], problems: list[Problem], *, any_port: bool) -> None:
    found.add_addresses(base, *[backend.address for backend in backends])
    total = sum(len(backend.ports) for backend in backends if backend.ports is not _NO_PORTS)
    if total > _MOST_PORTS:
        said = f"the endpoints have more than {_MOST_PORTS} ports in all; only the first of them have SRV records"
        problems.append(Problem("ports of EndpointSlices", said))
    pairs = list(islice(((port, backend) for backend in backends for port in backend.ports), _MOST_PORTS))
    _add_srv(found, base, pairs)
    owners = {port: _srv_owners(port, base, any_port=any_port) for port in {port for port, _ in pairs}}
    shared: dict[bytes, list[tuple[Port, _Named]]] = {}
    for pair in pairs:
        for owner in owners[pair[0]]:
            shared.setdefault(owner, []).append(pair)
    for owner, sharing in shared.items():
        _add_srv(found, owner, sharing)
        found.add_addresses(owner, *[backend.address for _, backend in sharing])


def _add_srv(found: Records, owner: bytes, pairs: list[tuple[Port, _Named]]) -> None:
    """Add the SRV records of ports of endpoints."""
    weight = _weight(max(1, len(pairs)))
    data = [_srv(weight, port, backend.name) for port, backend in pairs if port.number]
    if data:
        found.add(owner, _SRV, *data)


def _endpoint_names(found: Records, backends: Iterable[_Named]) -> None:
    for backend in backends:
        found.add(backend.name, _A if len(backend.address) == 4 else _AAAA, backend.address)
        found.add_pointer(backend.address, Pointer(backend.name))


def _backends(
    slices: Iterable[Slice], base: bytes, problems: list[Problem], *, pod_names: bool, unready: bool = False
) -> Iterator[_Named]:
    for piece in slices:
        for backend in piece.backends:
            if backend.ready or unready:
                label = endpoint_label(backend, piece, problems, pod_names=pod_names)
                yield _Named(backend.address, names.label(label) + base, piece.ports or _NO_PORTS)


def _called(label: str, spelled: bytes | None, backends: Iterable[Backend]) -> Iterator[Backend]:
    """Give those that might have a label, which may spell an address: few of very many."""
    for backend in backends:
        address, hostname, pod, _ = backend
        if address == spelled or (hostname and hostname.lower() == label) or (pod and pod.lower() == label):
            yield backend


def endpoint_label(backend: Backend, piece: Slice, problems: list[Problem], *, pod_names: bool) -> str:
    """Give an endpoint's own label: its hostname, else its pod's name where that is asked for, else its address."""
    if names.is_label(backend.hostname):
        return backend.hostname.lower()
    if backend.hostname:
        where = f"endpoint {ip_address(backend.address)} of EndpointSlice {piece.name}"
        said = f"the hostname {backend.hostname!r} cannot be a label; the address names it instead"
        problems.append(Problem(where, said))
    elif pod_names and names.is_label(backend.pod):
        return backend.pod.lower()
    return names.dashed(backend.address)


def _srv_owners(port: Port, base: bytes, *, any_port: bool) -> list[bytes]:
    """Give the names of a port's SRV records; none where its own name cannot be a label."""
    name = names.label(f"_{port.name}".lower()) if _fits_srv(port.name) else b""
    protocol = names.label(f"_{port.protocol}") if port.protocol else b""
    if not any_port:
        return [name + protocol + base] if name and protocol else []
    return [each + of + base for each in (name, _ANY) if each for of in (protocol, _ANY) if of]


def _fits_srv(port: str) -> bool:
    return names.is_label(port) and len(port) < 63  # the underscore before it takes a place


def _srv(weight: int, port: Port, target: bytes) -> bytes:
    """Give the data of an SRV record (RFC 2782); the priority is always 0."""
    return _SRV_NUMBERS.pack(0, weight, port.number) + target


def _weight(records: int) -> int:
    return max(1, 100 // records)
