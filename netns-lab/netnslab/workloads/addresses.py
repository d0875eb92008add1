"""Which address a LoadBalancer Service gets from the lab's pools. Pure.

An address that a Service has is kept as long as it is in a pool; `spec.loadBalancerIP` is honoured where it is free;
otherwise the lowest free address of each family the Service uses is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from kapi.network import Address, Network, Reference
from netnslab.workloads.values import Identity, identity

Json = dict[str, Any]

_FAMILIES = {"IPv4": 4, "IPv6": 6}


@dataclass(frozen=True, slots=True)
class Balanced:
    """A Service, as far as load-balancer addresses go."""

    meta: Identity
    wanted: bool  # type LoadBalancer
    ours: bool  # no loadBalancerClass names another implementation
    requested: str = ""  # spec.loadBalancerIP
    families: tuple[int, ...] = (4,)
    present: tuple[Address, ...] = ()  # of status.loadBalancer

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.meta.namespace}/{self.meta.name}"

    @property
    def uid(self) -> str:
        """Unique in space and time."""
        return self.meta.uid

    @property
    def resource_version(self) -> str:
        """Grows with every write."""
        return self.meta.resource_version

    @property
    def reference(self) -> Reference:
        """What an Event about this Service points at."""
        return Reference("Service", self.meta.namespace, self.meta.name, self.meta.uid)


@dataclass(frozen=True, slots=True)
class Assignment:
    """The addresses a Service should have, and why one is missing ("" where none is)."""

    addresses: tuple[Address, ...] = ()
    problem: str = ""


def balanced(obj: Json) -> Balanced:
    """Read a v1 Service."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    balancer = status.get("loadBalancer")
    ingress = balancer.get("ingress") if isinstance(balancer, dict) else None
    return Balanced(
        identity(obj),
        wanted=spec.get("type") == "LoadBalancer",
        ours=not spec.get("loadBalancerClass"),
        requested=spec.get("loadBalancerIP") or "",
        families=tuple(_FAMILIES[f] for f in spec.get("ipFamilies") or ("IPv4",) if f in _FAMILIES),
        present=tuple(address for one in ingress or () if (address := _address(one)) is not None),
    )


def _address(ingress: Any) -> Address | None:
    """The address of a part of `status.loadBalancer.ingress`; None where there is none that can be read."""
    try:
        return ip_address(ingress["ip"])
    except (KeyError, TypeError, ValueError):
        return None


def assign(service: Balanced, taken: Mapping[Address, str], pools: Iterable[Network]) -> Assignment:
    """Choose a Service's addresses. `taken` tells for each address the key of the Service that has it."""
    if not service.wanted or service.meta.terminating:
        return Assignment()
    pools = tuple(pools)
    found: list[Address] = []
    problems: list[str] = []
    for family in service.families:
        mine = [pool for pool in pools if pool.version == family]
        if mine:
            address, problem = _choose(service, taken, mine)
            found += [address] if address is not None else []
            problems += [problem] if problem else []
    if not found and not problems:
        problems.append("no pool has addresses of the Service's families")
    return Assignment(tuple(found), "; ".join(problems))


def _choose(service: Balanced, taken: Mapping[Address, str], pools: list[Network]) -> tuple[Address | None, str]:
    names = ", ".join(map(str, pools))
    requested = _requested(service, pools[0].version)
    if isinstance(requested, str):
        return None, requested
    if requested is not None:
        holder = taken.get(requested, service.key)
        if not any(requested in pool for pool in pools):
            return None, f"spec.loadBalancerIP {requested} is not in a pool ({names})"
        return (requested, "") if holder == service.key else (None, f"spec.loadBalancerIP {requested} is {holder}'s")
    for present in service.present:
        if any(present in pool for pool in pools) and taken.get(present, service.key) == service.key:
            return present, ""
    free = (ip for pool in pools for ip in pool.hosts() if taken.get(ip, service.key) == service.key)
    address = next(free, None)
    return address, "" if address is not None else f"no address is free in {names}"


def _requested(service: Balanced, version: int) -> Address | str | None:
    if not service.requested:
        return None
    try:
        address = ip_address(service.requested)
    except ValueError:
        return f"spec.loadBalancerIP {service.requested!r} is not an address"
    return address if address.version == version else None
