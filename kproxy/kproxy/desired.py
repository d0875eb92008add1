"""From Services and their EndpointSlices to what this node owes them. Pure.

`duties` looks at one Service only, so an event costs what its Service costs. The rules are those of the Kubernetes
API and of kube-proxy, as `docs/reference/nftables.md` and the conformance cases list them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network

from kapi.network import (
    Address,
    Endpoint,
    EndpointSlice,
    Network,
    Problem,
    Protocol,
    Service,
    ServicePort,
    ServiceType,
    TrafficPolicy,
)
from kproxy import weights
from kproxy.model import Absence, Datagrams, Duties, Frontend, HealthCheck, Kind, Place, Pool, Target
from kproxy.topology import Here, categorise
from kproxy.weights import Weights

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
WITHOUT_ENDPOINTS = "kproxy.io/without-endpoints"  # "reject" or "drop": what clients meet where nobody serves them


def is_ours(service: Service) -> bool:
    """Whether the Service is for this proxy: it has an address of its own and no label that says otherwise."""
    return bool(service.cluster_ips) and not _is_for_others(service)


def _is_for_others(service: Service) -> bool:
    if service.type is ServiceType.EXTERNAL_NAME or service.headless:
        return True
    return PROXY_NAME in service.labels


def duties(
    service: Service,
    slices: Iterable[EndpointSlice],
    here: Here,
    proxied: Sequence[int] = (4, 6),
    absence: Absence | None = None,
) -> Duties:
    """Say what this node owes one Service. `proxied` are the IP families that are looked after.

    `absence` is what all Services do where nobody serves, unless they say so themselves; None is Kubernetes' way:
    reject where there is no endpoint at all, drop where another node has one.
    """
    rank = f"{service.created} {service.key}"
    if not is_ours(service):
        problems = () if _is_for_others(service) else service.problems
        return Duties(service.key, service.reference, rank=rank, problems=problems)
    slices = [s for s in slices if HEADLESS not in s.labels]
    shares = weights.parse(service.annotations.get(weights.ANNOTATION, ""))
    chosen, unknown = _absence(service, absence)
    frontends: list[Frontend] = []
    own: set[Address] = set()
    datagrams: list[Datagrams] = []
    for family in proxied:
        if not any(a.version == family for a in service.cluster_ips):
            continue
        fitting = [s for s in slices if s.family == family]
        for port in service.ports:
            reachable = _endpoints(fitting, port, here)
            served = _served(reachable, here, shares, chosen)
            knocked = tuple(_frontends(service, port, family, served, here))
            frontends += knocked
            own.update(served.own)
            if port.protocol is Protocol.UDP:
                serving = frozenset(e.addresses[0] for e in reachable.values() if e.ready or e.serving)
                datagrams += [Datagrams(frontend.place, serving) for frontend in knocked]
    return Duties(
        key=service.key,
        reference=service.reference,
        frontends=tuple(frontends),
        cluster_ips=tuple(a for a in service.cluster_ips if a.version in proxied),
        own=tuple(sorted(own, key=int)),
        datagrams=tuple(datagrams),
        rank=rank,
        health=_health(service, slices, here),
        problems=(*service.problems, *_family_problems(service), *shares.problems, *unknown),
    )


def _endpoints(slices: Iterable[EndpointSlice], port: ServicePort, here: Here) -> dict[Target, Endpoint]:
    """List the endpoints of one Service port over all its slices: each address and port once, the local copy first."""
    found: dict[Target, Endpoint] = {}
    for piece in slices:
        number = next((p.port for p in piece.ports if p.name == port.name and p.protocol == port.protocol), None)
        if number is None:
            continue
        for endpoint in piece.endpoints:
            target = Target(endpoint.addresses[0], number)
            known = found.setdefault(target, endpoint)
            if known is not endpoint and known.node_name != here.node and endpoint.node_name == here.node:
                found[target] = endpoint
    return found


@dataclass(frozen=True, slots=True)
class _Served:
    """The endpoints of one Service port: for everyone, for Local policies, those that may be here.

    `absence` is what clients meet where none of these is for them.
    """

    everyone: Pool
    local: Pool
    own: frozenset[Address]
    absence: Absence


def _served(reachable: Mapping[Target, Endpoint], here: Here, shares: Weights, absence: Absence | None) -> _Served:
    chosen = categorise(reachable.values(), here)
    targets = {id(endpoint): target for target, endpoint in reachable.items()}
    near = ("", here.node)

    def pool(endpoints: tuple[Endpoint, ...]) -> Pool:
        return weights.pool([targets[id(e)] for e in endpoints], endpoints, shares)

    return _Served(
        pool(chosen.cluster),
        pool(chosen.local),
        frozenset([e.addresses[0] for e in (*chosen.cluster, *chosen.local) if e.node_name in near]),
        absence or (Absence.DROP if chosen.cluster else Absence.REJECT),
    )


def _frontends(service: Service, port: ServicePort, family: int, served: _Served, here: Here) -> Iterator[Frontend]:
    everyone, local = served.everyone, served.local
    origin = f"{service.key}:{port.name or port.port}"
    inner_local = service.internal_policy is TrafficPolicy.LOCAL
    inner = local if inner_local else everyone
    outer = local if service.external_policy is TrafficPolicy.LOCAL else None
    affinity = service.affinity_seconds

    def frontend(address: Address | None, number: int, kind: Kind, sources: tuple[Network, ...] | None) -> Frontend:
        place = Place(family, address, port.protocol, number)
        if kind is Kind.CLUSTER_IP:
            return Frontend(place, kind, origin, inner, None, served.absence, None, affinity)
        return Frontend(place, kind, origin, everyone, outer, served.absence, sources, affinity)

    for address in _of(family, service.cluster_ips):
        yield frontend(address, port.port, Kind.CLUSTER_IP, None)
    for address in _of(family, service.external_ips):
        yield frontend(address, port.port, Kind.EXTERNAL_IP, None)
    if service.type is ServiceType.LOAD_BALANCER:
        addresses = _of(family, (a.ip for a in service.load_balancer if not a.proxied))
        sources = _sources(service, family, addresses, here)
        for address in addresses:
            yield frontend(address, port.port, Kind.LOAD_BALANCER, sources)
    if port.node_port and service.type in (ServiceType.NODE_PORT, ServiceType.LOAD_BALANCER):
        yield frontend(None, port.node_port, Kind.NODE_PORT, None)


def _sources(service: Service, family: int, own: list[Address], here: Here) -> tuple[Network, ...] | None:
    """Give who may reach the load-balancer addresses; None is everyone.

    A list of the other family leaves these addresses open. One that cannot be read does not: nobody may come in then.
    Where this node may, it may also come from the load-balancer address itself: if that is bound on the node, the
    kernel takes it as the source.
    """
    ranges = [n for n in service.source_ranges if n.version == family]
    if not ranges:
        return () if service.unread_ranges else None
    if any(address in network for address in here.addresses for network in ranges):
        ranges += [ip_network(address) for address in own]
    return tuple(collapse_addresses(ranges))  # type: ignore[type-var]  # all of one family


def _absence(service: Service, usual: Absence | None) -> tuple[Absence | None, tuple[Problem, ...]]:
    """Read what a Service wants where nobody serves; the cluster's usual way where it does not say."""
    wanted = service.annotations.get(WITHOUT_ENDPOINTS)
    if wanted is None or wanted in tuple(Absence):
        return (Absence(wanted) if wanted else usual), ()
    return usual, (Problem(f"metadata.annotations[{WITHOUT_ENDPOINTS}]", f"{wanted!r} is neither reject nor drop"),)


def _health(service: Service, slices: Iterable[EndpointSlice], here: Here) -> HealthCheck | None:
    """Say what a load balancer asks this node: how many ready endpoints are here. Terminating ones do not count."""
    local = service.external_policy is TrafficPolicy.LOCAL and service.type is ServiceType.LOAD_BALANCER
    if not local or not service.health_check_node_port:
        return None
    ready = {
        family: {e.addresses[0] for s in slices if s.family == family for e in s.endpoints if _is_ready_at(e, here)}
        for family in (4, 6)
    }
    return HealthCheck(service.health_check_node_port, max(map(len, ready.values())))


def _is_ready_at(endpoint: Endpoint, here: Here) -> bool:
    return endpoint.ready and endpoint.node_name == here.node


def _of(family: int, addresses: Iterable[Address]) -> list[Address]:
    return [a for a in addresses if a.version == family]


def _family_problems(service: Service) -> Iterator[Problem]:
    owned = {a.version for a in service.cluster_ips}
    for field, addresses in (
        ("spec.externalIPs", service.external_ips),
        ("status.loadBalancer.ingress", tuple(a.ip for a in service.load_balancer)),
    ):
        for address in addresses:
            if address.version not in owned:
                yield Problem(field, f"{address} is left out: the Service has no IPv{address.version} clusterIP")
