"""What a node owes its Services: the language between `kproxy.desired` and the backends. Pure values.

A `Frontend` is one place where clients knock (an address and a port, or a port of the node itself), with all that
decides what happens there already decided: which endpoints, for whom, and what if there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from kapi.network import Address, Network, Problem, Protocol, Reference


class Kind(StrEnum):
    """How a frontend came about; it decides who is masqueraded (facts: the truth table of traffic policies)."""

    CLUSTER_IP = "clusterIP"
    NODE_PORT = "nodePort"
    EXTERNAL_IP = "externalIP"
    LOAD_BALANCER = "load-balancer address"


class Absence(StrEnum):
    """What a new connection meets where no endpoint may take it."""

    REJECT = "reject"
    DROP = "drop"


class Target(NamedTuple):
    """One endpoint's address and port. Repeating a target in a pool gives it more weight."""

    address: Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


Pool = tuple[Target, ...]
_SHOWN = 5  # endpoints of a pool that are told by name


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients knock: `address` is None for a port of the node itself, in the given IP family."""

    family: int
    address: Address | None
    protocol: Protocol
    port: int

    def __str__(self) -> str:
        host = "node" if self.address is None else f"[{self.address}]" if self.family == 6 else str(self.address)
        return f"{host}:{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Frontend:
    """One place of one Service port, and what is owed there.

    `pool` serves everyone. Where `outside` is not None (externalTrafficPolicy Local), clients that are neither pods nor
    this node get that pool instead, unmasqueraded. `absence` says what happens to whoever faces an empty pool.
    """

    place: Place
    kind: Kind
    origin: str  # "default/web:http": the Service port, as people write it
    pool: Pool
    outside: Pool | None = None
    absence: Absence = Absence.REJECT
    sources: tuple[Network, ...] | None = None  # loadBalancerSourceRanges of this family; None is everyone
    affinity_seconds: int = 0

    @property
    def nobody_inside(self) -> bool:
        """Whether internalTrafficPolicy Local leaves it without endpoints here, though others have some."""
        return self.kind is Kind.CLUSTER_IP and not self.pool and self.absence is Absence.DROP

    @property
    def nobody_outside(self) -> bool:
        """Whether externalTrafficPolicy Local leaves clients from outside without endpoints, though there are some."""
        return self.outside == () and bool(self.pool)

    def __str__(self) -> str:
        inside, outside = (_some(pool) for pool in (self.pool, self.outside or ()))
        from_outside = f", from outside {outside or self.absence}" if self.outside is not None else ""
        return f"{self.place} to {inside or self.absence}{from_outside}"


@dataclass(frozen=True, slots=True)
class Datagrams:
    """A UDP place, and the addresses whose flows from there go on: endpoints that serve, terminating or not."""

    place: Place
    serving: frozenset[Address]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What a load balancer is told about this node: `port` is the healthCheckNodePort of a Service."""

    port: int
    endpoints: int  # ready ones on this node


@dataclass(frozen=True, slots=True)
class Duties:
    """All that one Service asks of one node."""

    key: str
    reference: Reference
    frontends: tuple[Frontend, ...] = ()
    cluster_ips: tuple[Address, ...] = ()
    own: tuple[Address, ...] = ()  # endpoints that may be on this node: they may reach themselves (hairpin)
    datagrams: tuple[Datagrams, ...] = ()
    rank: str = ""  # of two Services that ask for one place alike, the lower has it: the elder
    health: HealthCheck | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalTraffic:
    """How a packet of this node's pods is told: by source address or by the interface it came from.

    One of the two is used; an `interface` that ends in `*` is a prefix. With neither, nobody is known to be a pod.
    """

    networks: tuple[Network, ...] = ()
    interface: str = ""


@dataclass(frozen=True, slots=True)
class NodeDuties:
    """What holds for the node as a whole, whatever its Services."""

    node_port_networks: tuple[Network, ...] = ()  # NodePorts answer on this node's own addresses within these
    local_traffic: LocalTraffic = field(default_factory=LocalTraffic)
    service_cidrs: tuple[Network, ...] = ()  # new connections to their unallocated addresses are dropped
    masquerade_all: bool = False
    masquerade_mark: int = 0x4000


class Counted(NamedTuple):
    """What went between one endpoint and the clients that called one place; `direction` is "in" or "out"."""

    called: Place
    endpoint: Target
    direction: str
    packets: int
    bytes: int


def _some(pool: Pool) -> str:
    """Write down the endpoints of a pool, or the first few of them; nothing for an empty one."""
    each = list(dict.fromkeys(pool))
    more = f" and {len(each) - _SHOWN} more" if len(each) > _SHOWN else ""
    return ", ".join(map(str, each[:_SHOWN])) + more
