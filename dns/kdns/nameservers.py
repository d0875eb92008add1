"""What this server is called in NS records: by the Services it is behind, else `ns.dns` of the zone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kdns import names
from kdns.errors import NameInvalid
from kdns.objects import Service, Slice
from kdns.query import Query
from kdns.records import Records, endpoint_label
from kdns.wire import Rcode, Type, tail_of

FIRST = "ns.dns"  # what the SOA calls it
_A, _AAAA, _NS = map(tail_of, (Type.A, Type.AAAA, Type.NS))

Servers = Mapping[str, Sequence[bytes]]  # names without their zone -> packed addresses


def by_address(
    services: Iterable[tuple[Service, Iterable[Slice]]], own: Iterable[bytes], *, pod_names: bool
) -> dict[str, list[bytes]]:
    """Give the names as CoreDNS does: for each slice that has one of its own addresses again; none without addresses.

    A headless Service is not a server, but each of its endpoints is.
    """
    found: dict[str, list[bytes]] = {}
    behind = [(service, piece) for service, pieces in services for piece in pieces]
    for address in own:
        for service, piece in behind:
            if any(backend.address == address and backend.ready for backend in piece.backends):
                for name, place in _places(service, piece, pod_names=pod_names):
                    found.setdefault(name, []).append(place)
    alone = list(own)
    return found or ({FIRST: alone} if alone else {})


def add_servers(found: Records, zone: str, servers: Servers, home: str) -> None:
    """Add the name servers of a zone: these names, which are in the zone `home`, but for the first, which all have.

    A name that is too long with its zone is left out.
    """
    first = names.to_wire(f"{FIRST}.{zone}")
    for name, addresses in servers.items():
        try:
            server = first if name == FIRST else names.to_wire(f"{name}.{home}")
        except NameInvalid:  # three labels of 63 octets in front of the zone of an IPv6 network
            continue
        found.add(names.to_wire(zone), _NS, server)
        found.add_addresses(first, *addresses)
        if server != first:
            for tail, size in ((_A, 4), (_AAAA, 16)):
                found.elsewhere[server + tail] = tuple(each for each in addresses if len(each) == size)


def own_names(zones: Iterable[str]) -> dict[bytes, bytes]:
    """Give the zones on the wire, by their own names and by those of their first name servers."""
    both = [(names.to_wire(zone), names.to_wire(f"{FIRST}.{zone}")) for zone in zones]
    return {name: zone for zone, first in both for name in (zone, first)}


def misses_by_case(query: Query, zone: bytes) -> int | None:
    """Give with which code CoreDNS denies what it has itself for a zone: `ns.dns` to some types, both in other letters.

    It finds its name servers by the zone's name in the letters that it was asked for, and itself in small ones.
    """
    small = query.sent[:-4].endswith(zone)
    if query.name == zone:
        return None if small or query.type != Type.NS else Rcode.NOERROR
    if query.type == Type.SOA or (small and query.type not in (Type.TXT, Type.PTR)):
        return None
    return Rcode.NXDOMAIN


def _places(service: Service, piece: Slice, *, pod_names: bool) -> Iterator[tuple[str, bytes]]:
    name = f"{service.name}.{service.namespace}.svc"
    if not service.headless:
        yield from ((name, address) for address in service.addresses)
        return
    for backend in piece.backends:
        if backend.ready:
            label = endpoint_label(backend, piece, [], pod_names=pod_names)
            yield f"{label}.{name}", backend.address
