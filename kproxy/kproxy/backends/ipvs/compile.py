"""From what a Service is owed to virtual servers, set elements and addresses. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from kapi.network import Address
from kproxy.backends.ipvs import layout
from kproxy.model import Absence, Duties, Frontend, Kind, Pool, Target
from kproxy.rules.fields import PROTOCOLS, service_bytes
from kproxy.rules.model import Balance, MarkIs, Rule, Step, To, Value, Within
from kproxy.rules.model import Destination as DestinationAddress

FIRST_MARK = 0x100000  # marks below belong to others
Where = tuple[int, str]  # IP family and set


@dataclass(frozen=True, slots=True, order=True)
class Server:
    """What identifies a virtual server: address, protocol and port; or a mark of packets, of one family."""

    family: int
    protocol: int = 0
    address: bytes = b""
    port: int = 0
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual server and its real servers with their weights; `affinity` in seconds, 0 is none."""

    server: Server
    scheduler: str
    weights: Mapping[Target, int]
    affinity: int = 0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Everything of one Service."""

    key: str
    virtuals: Mapping[Server, Virtual] = field(default_factory=dict)
    elements: Mapping[Where, Mapping[bytes, Value]] = field(default_factory=dict)
    addresses: frozenset[Address] = frozenset()  # the host must have them


def compile_service(duties: Duties, first_mark: int, scheduler: str) -> Compiled:
    """Compile one Service whose NodePorts have an address: see `kproxy.backends.ipvs.division`.

    Its marks are `first_mark` and those after it, one for each port with a share of its own for outsiders.
    """
    work = _Work(duties, first_mark, scheduler)
    for frontend in duties.frontends:
        work.frontend(frontend)
    for address in duties.cluster_ips:
        work.put(address.version, layout.ADDRESSES, address.packed, None)
        work.addresses.add(address)
    return Compiled(duties.key, work.virtuals, work.elements, frozenset(work.addresses))


def marks_needed(duties: Duties) -> int:
    """Count the marks a Service needs."""
    return len({_port(f) for f in duties.frontends if f.outside})


def _port(frontend: Frontend) -> tuple[str, str]:
    return (frontend.origin, frontend.place.protocol)


class _Work:
    def __init__(self, duties: Duties, first_mark: int, scheduler: str) -> None:
        self.virtuals: dict[Server, Virtual] = {}
        self.elements: dict[Where, dict[bytes, Value]] = {}
        self.addresses: set[Address] = set()
        self._duties = duties
        self._scheduler = scheduler
        ports = dict.fromkeys(_port(f) for f in duties.frontends if f.outside)
        self._marks = {port: first_mark + n for n, port in enumerate(ports)}

    def put(self, family: int, name: str, key: bytes, value: Value) -> None:
        """Add a set element."""
        self.elements.setdefault((family, name), {})[key] = value

    def frontend(self, frontend: Frontend) -> None:
        """Serve a frontend; the host has the addresses of NodePorts by itself."""
        place = frontend.place
        assert place.address is not None
        if frontend.kind is not Kind.NODE_PORT:
            self.addresses.add(place.address)
        family, protocol = place.family, place.protocol.lower()
        at = place.address.packed + service_bytes(protocol, place.port)
        if frontend.sources is not None:
            self.put(family, layout.FIREWALLED, at, None)
            for network in frontend.sources:
                low, high = network.network_address.packed, network.broadcast_address.packed
                self.put(family, layout.ALLOWED, at + low + at + high, None)
        if not frontend.pool:
            self.put(family, layout.REJECT if frontend.absence is Absence.REJECT else layout.DROP, at, None)
            return
        server = Server(family, PROTOCOLS[protocol], place.address.packed, place.port)
        self.virtuals[server] = self._virtual(server, frontend, frontend.pool)
        if frontend.kind is Kind.CLUSTER_IP:
            self.put(family, layout.CLUSTER_IP, at, None)
        elif frontend.outside is None:
            self.put(family, layout.EXTERNAL, at, None)
        else:
            self._divide(frontend, at)
        self._loops(frontend, protocol)

    def _divide(self, frontend: Frontend, at: bytes) -> None:
        """Lead outsiders to a virtual server of their own."""
        family = frontend.place.family
        self.put(family, layout.EXTERNAL_LOCAL, at, None)
        if not frontend.outside:
            absent = layout.NO_LOCAL if frontend.absence is Absence.DROP else layout.NO_LOCAL_REJECT
            self.put(family, absent, at, None)
            return
        mark = self._marks[_port(frontend)]
        self.put(family, layout.LOCAL_MARKS, at, mark.to_bytes(4, "big"))
        server = Server(family, mark=mark)
        self.virtuals[server] = self._virtual(server, frontend, frontend.outside)

    def _virtual(self, server: Server, frontend: Frontend, pool: Pool) -> Virtual:
        weights = Counter(pool)
        scheduler, affinity = self._scheduler, frontend.affinity_seconds
        if scheduler == "rr" and len(set(weights.values())) > 1:
            scheduler = "wrr"  # rr does not look at weights
        if affinity and server.mark:
            scheduler, affinity = "sh", 0  # a persistent server by mark does not translate ports
        return Virtual(server, scheduler, weights, affinity, frontend.origin)

    def _loops(self, frontend: Frontend, protocol: str) -> None:
        for target in (*frontend.pool, *(frontend.outside or ())):
            if target.address in self._duties.own:
                packed = target.address.packed
                key = packed + service_bytes(protocol, target.port) + packed
                self.put(frontend.place.family, layout.LOOP_BACK, key, None)


def rule(virtual: Virtual) -> Rule:
    """Write a virtual server as a rule, for the evaluator and for people."""
    server = virtual.server
    shares = tuple((target.address, target.port, weight) for target, weight in virtual.weights.items())
    if server.mark:
        at: tuple[Step, ...] = (MarkIs(server.mark),)
    else:
        protocol = next(name for name, number in PROTOCOLS.items() if number == server.protocol)
        network = ip_network(server.address)
        at = (Within(DestinationAddress(), network), To(server.port, protocol))
    return Rule((*at, Balance(virtual.scheduler, shares)), virtual.origin)
