"""From what a Service is owed to its elements, classes and (with session affinity) chains. Pure.

One Service at a time. Endpoints that stay keep their index, so that one endpoint less is: the last index moves into the
hole, and the last index goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kproxy.backends.nftables import affinity
from kproxy.backends.nftables.classes import Class, Way, capacity, dispatch_name, map_name
from kproxy.backends.nftables.layout import (
    CLUSTER_IPS,
    HAIRPIN,
    REJECT_CHAIN,
    absent_name,
    allowed_name,
    firewalled_name,
)
from kproxy.model import Absence, Duties, Frontend, Kind, NodeDuties, Place, Pool, Target
from kproxy.rules.fields import index_bytes, port_bytes
from kproxy.rules.model import Chain, Elements, Fate, Set, Value, Verdict

Where = tuple[int, str]  # IP family and name of a set or map


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of one Service. `classes` are chains shared with others; `chains` and `sets` are its own."""

    key: str
    elements: Mapping[Where, Elements] = field(default_factory=dict)
    classes: frozenset[tuple[int, Class]] = frozenset()
    chains: Mapping[Where, Chain] = field(default_factory=dict)
    sets: Mapping[Where, Set] = field(default_factory=dict)


def compile_service(duties: Duties, node: NodeDuties, before: Compiled | None = None) -> Compiled:
    """Compile one Service; `before` is what is in place, whose order of endpoints is kept as far as it goes."""
    work = _Work(node, before.elements if before else {})
    for frontend in duties.frontends:
        work.frontend(frontend)
    for address in duties.cluster_ips:
        work.put(address.version, CLUSTER_IPS, address.packed, None)
    for address in duties.own:
        work.put(address.version, HAIRPIN, address.packed * 2, None)
    return Compiled(duties.key, work.elements, frozenset(work.classes), work.chains, work.sets)


def place_bytes(place: Place) -> bytes:
    """Write a place as the key of the dispatch maps."""
    if place.address is None:
        return place.port.to_bytes(2, "big")
    return place.address.packed + port_bytes(place.port)


def target_bytes(target: Target) -> bytes:
    """Write an endpoint as the value of the endpoints maps."""
    return target.address.packed + port_bytes(target.port)


def arrange(before: Sequence[bytes], now: Sequence[bytes]) -> list[bytes]:
    """Order `now` so that as many as possible keep the index they have in `before`."""
    if not before:
        return list(now)
    left = Counter(now)
    slots: list[bytes | None] = []
    for value in before[: len(now)]:
        keeps = left[value] > 0
        left[value] -= keeps
        slots.append(value if keeps else None)
    slots += [None] * (len(now) - len(slots))
    newcomers = iter(left.elements())
    return [value if value is not None else next(newcomers) for value in slots]


class _Work:
    """The rules of one Service while they are being written down."""

    def __init__(self, node: NodeDuties, before: Mapping[Where, Elements]) -> None:
        self.elements: dict[Where, dict[bytes, Value]] = {}
        self.classes: set[tuple[int, Class]] = set()
        self.chains: dict[Where, Chain] = {}
        self.sets: dict[Where, Set] = {}
        self._node = node
        self._before = before
        self._values: dict[int, list[bytes]] = {}

    def put(self, family: int, name: str, key: bytes, value: Value) -> None:
        """Add an element."""
        where = (family, name)
        if where not in self.elements:
            self.elements[where] = {}
        self.elements[where][key] = value

    def frontend(self, frontend: Frontend) -> None:
        """Write the elements of one frontend."""
        place = frontend.place
        family, protocol, node_port = place.family, place.protocol.lower(), place.address is None
        key = place_bytes(place)
        if frontend.pool:
            chain = self._chain(frontend, protocol, node_port, key)
            verdict = Verdict(Fate.GOTO, chain, frontend.origin)
            self.put(family, dispatch_name(protocol, node_port), key, verdict)
        if not frontend.pool or frontend.outside == ():
            self.put(family, absent_name(protocol, node_port), key, _absent(frontend.absence, frontend.origin))
        if frontend.sources is not None:
            self._firewall(frontend, protocol, key)

    def _chain(self, frontend: Frontend, protocol: str, node_port: bool, key: bytes) -> str:
        """Serve a frontend that has endpoints: give the chain its clients are sent to."""
        family = frontend.place.family
        way = _way(frontend)
        if frontend.affinity_seconds:
            own = affinity.chains(frontend, way, self._node)
            self.chains |= {(family, c.name): c for c in own.chains}
            self.sets |= {(family, s.name): s for s in own.sets}
            return own.entry
        self._endpoints(family, map_name(protocol, node_port), key, frontend.pool)
        cls = Class(protocol, node_port, way, capacity(len(frontend.pool)))
        self._use(family, cls)
        if frontend.outside:
            self._endpoints(family, map_name(protocol, node_port, local=True), key, frontend.outside)
            local = Class(protocol, node_port, Way.LOCAL, capacity(len(frontend.outside)))
            self._use(family, local)
            verdict = Verdict(Fate.GOTO, local.name, frontend.origin)
            self.put(family, dispatch_name(protocol, node_port, local=True), key, verdict)
        return cls.name

    def _use(self, family: int, cls: Class) -> None:
        self.classes.add((family, cls))
        self.classes.update((family, needed) for needed in cls.needs(self._node))

    def _endpoints(self, family: int, name: str, key: bytes, pool: Pool) -> None:
        values = self._values.get(id(pool))
        if values is None:
            values = self._values[id(pool)] = [target_bytes(target) for target in pool]
        prefix = key if len(key) > 2 else key + b"\0\0"
        order = arrange(list(_indexed(self._before.get((family, name), {}), prefix)), values)
        elements = self.elements.setdefault((family, name), {})
        for index, value in enumerate(order):
            elements[prefix + index_bytes(index)] = value

    def _firewall(self, frontend: Frontend, protocol: str, key: bytes) -> None:
        family = frontend.place.family
        self.put(family, firewalled_name(protocol), key, None)
        for network in frontend.sources or ():
            low, high = network.network_address.packed, network.broadcast_address.packed
            self.put(family, allowed_name(protocol), key + low + key + high, None)


def _way(frontend: Frontend) -> Way:
    if frontend.kind is Kind.CLUSTER_IP:
        return Way.CLUSTER
    return Way.EXTERNAL if frontend.outside is None else Way.DIVIDED


def _absent(absence: Absence, origin: str) -> Verdict:
    if absence is Absence.DROP:
        return Verdict(Fate.DROP, "", origin)
    return Verdict(Fate.GOTO, REJECT_CHAIN, origin)


def _indexed(elements: Elements, prefix: bytes) -> Iterator[bytes]:
    """Read the endpoints of one frontend in the order of their indexes."""
    index = 0
    while isinstance(value := elements.get(prefix + index_bytes(index)), bytes):
        yield value
        index += 1
