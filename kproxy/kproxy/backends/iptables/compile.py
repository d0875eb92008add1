"""From what a Service is owed to its chains, and its rules in the chains that all Services share. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from kproxy.backends.iptables.layout import (
    ABSENT,
    ABSENT_ON_NODE,
    CLUSTER_IPS,
    FIREWALL,
    HEALTH,
    MARK_MASQ,
    MARK_OUTSIDERS,
    NODE_PORTS,
    SERVICES,
    chain_name,
    pods,
)
from kproxy.model import Absence, Duties, Frontend, Kind, NodeDuties, Place, Pool, Target
from kproxy.rules.fields import port_bytes
from kproxy.rules.model import (
    Accept,
    ArrivedOn,
    Chain,
    Destination,
    Drop,
    Jump,
    OneIn,
    OwnAddress,
    Recently,
    Reject,
    Remember,
    Return,
    Rule,
    Source,
    Step,
    To,
    TranslateTo,
    Within,
)

Where = tuple[int, str]  # IP family and chain, as `table/chain`


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of one Service: chains of its own, and rules in shared ones."""

    key: str
    chains: Mapping[Where, Chain] = field(default_factory=dict)
    shared: Mapping[Where, tuple[Rule, ...]] = field(default_factory=dict)


def compile_service(duties: Duties, node: NodeDuties) -> Compiled:
    """Compile one Service."""
    ports: dict[tuple[int, str, str], list[Frontend]] = {}
    for frontend in duties.frontends:
        place = frontend.place
        ports.setdefault((place.family, place.protocol.lower(), frontend.origin), []).append(frontend)
    chains: dict[Where, Chain] = {}
    shared: dict[Where, list[Rule]] = {}
    for (family, protocol, origin), frontends in ports.items():
        port = _Port(family, protocol, origin, node)
        port.serve(frontends)
        chains |= {(family, chain.name): chain for chain in port.finished()}
        for name, rules in port.shared.items():
            shared.setdefault((family, name), []).extend(rules)
    for address in duties.cluster_ips:
        rule = Rule((Within(Destination(), ip_network(address)), Reject()), f"{duties.key}: no such port")
        shared.setdefault((address.version, CLUSTER_IPS), []).append(rule)
        if duties.health:  # a firewall of the node's own is not in its way, as kube-proxy has it
            rule = Rule((To(duties.health.port, "tcp"), Accept()), f"{duties.key} health check node port")
            shared.setdefault((address.version, HEALTH), []).append(rule)
    return Compiled(duties.key, chains, {where: tuple(rules) for where, rules in shared.items()})


class _Port:
    """The chains of one Service port in one IP family, while they are being written."""

    def __init__(self, family: int, protocol: str, origin: str, node: NodeDuties) -> None:
        self.shared: dict[str, list[Rule]] = {}
        self._family = family
        self._protocol = protocol
        self._origin = origin
        self._node = node
        self._chains: dict[str, list[Rule]] = {}

    def serve(self, frontends: list[Frontend]) -> None:
        """Write down what all frontends of the port are owed."""
        everyone = next((f.pool for f in frontends if f.kind is not Kind.CLUSTER_IP), None)
        for frontend in frontends:
            if frontend.pool:
                internal = frontend.kind is Kind.CLUSTER_IP
                whole = not internal or everyone in (None, frontend.pool)
                self._lead(frontend, self._cluster(frontend, whole) if internal else self._external(frontend))
            if not frontend.pool or frontend.outside == ():
                self._absent(frontend)
            if frontend.sources is not None:
                self._guard(frontend)

    def finished(self) -> Iterator[Chain]:
        """Give the port's own chains."""
        for name, rules in self._chains.items():
            yield Chain(name, tuple(rules), origin=self._origin)

    def _name(self, kind: str, *more: str) -> str:
        return chain_name(kind, self._origin, self._protocol, *more)

    def _share(self, chain: str, steps: tuple[Step, ...], why: str) -> None:
        self.shared.setdefault(chain, []).append(Rule(steps, f"{self._origin} {why}"))

    def _lead(self, frontend: Frontend, chain: str) -> None:
        """Send a frontend's clients to a chain."""
        entry = NODE_PORTS if frontend.place.address is None else SERVICES
        self._share(entry, (*_at(frontend.place), Jump(chain)), str(frontend.kind))

    def _absent(self, frontend: Frontend) -> None:
        """Refuse or drop who is still on the way to a frontend when it should be at an endpoint."""
        drop = frontend.absence is Absence.DROP
        chain = ABSENT_ON_NODE if frontend.place.address is None else ABSENT
        why = "has no local endpoints" if drop else "has no endpoints"
        self._share(chain, (*_at(frontend.place), Drop() if drop else Reject()), why)

    def _guard(self, frontend: Frontend) -> None:
        """Drop who is not among the source ranges."""
        name = f"filter/{self._name('FW')}"
        allowed = [Rule((Within(Source(), network), Return())) for network in frontend.sources or ()]
        self._chains[name] = [*allowed, Rule((Drop(),), f"{self._origin}: not in loadBalancerSourceRanges")]
        self._share(FIREWALL, (*_at(frontend.place), Jump(name)), "loadBalancerSourceRanges")

    def _cluster(self, frontend: Frontend, whole: bool) -> str:
        """Serve a clusterIP: from the whole pool, or from the local one (internalTrafficPolicy Local)."""
        chain = self._pool("SVC" if whole else "SVL", frontend.pool, frontend.affinity_seconds)
        self._chains[chain][:0] = self._masquerade(frontend.place)
        return chain

    def _external(self, frontend: Frontend) -> str:
        """Serve an address that the world sees, or a NodePort."""
        external = f"nat/{self._name('EXT')}"
        everyone = self._pool("SVC", frontend.pool, frontend.affinity_seconds)
        if frontend.outside is None:
            rules = [Rule((Jump(MARK_MASQ),), f"masquerade traffic for {self._origin}"), Rule((Jump(everyone),))]
        else:
            rules = [*self._short_cut(everyone)]
            if frontend.outside:
                local = self._pool("SVL", frontend.outside, frontend.affinity_seconds)
                rules.append(Rule((Jump(local),), "others: local only"))
        self._chains[external] = rules
        return self._allowed(frontend, external) if frontend.sources is not None else external

    def _allowed(self, frontend: Frontend, external: str) -> str:
        name = f"nat/{self._name('FW')}"
        self._chains[name] = [Rule((Within(Source(), n), Jump(external))) for n in frontend.sources or ()]
        return name

    def _short_cut(self, everyone: str) -> Iterator[Rule]:
        """Pods and this node pass by an external policy of Local."""
        local = self._node.local_traffic
        if local.interface:
            yield Rule((ArrivedOn(local.interface), Jump(everyone)), "pods may use any endpoint")
        for network in () if local.interface else pods(self._node, self._family):
            yield Rule((Within(Source(), network), Jump(everyone)), "pods may use any endpoint")
        yield Rule((OwnAddress(Source()), Jump(MARK_MASQ)), "this node too, masqueraded")
        yield Rule((OwnAddress(Source()), Jump(everyone)))

    def _masquerade(self, place: Place) -> Iterator[Rule]:
        """Mark the clients of a clusterIP that are not pods."""
        at, local = _at(place), self._node.local_traffic
        why = f"{self._origin} cluster IP"
        if self._node.masquerade_all:
            yield Rule((*at, Jump(MARK_MASQ)), why)
        elif local.interface:
            yield Rule((ArrivedOn(local.interface, negated=True), *at, Jump(MARK_MASQ)), why)
        elif local.networks:
            known = pods(self._node, self._family)
            one: tuple[Step, ...] = (Within(Source(), known[0], negated=True),) if len(known) == 1 else ()
            yield Rule((*one, *at, Jump(MARK_MASQ if one else MARK_OUTSIDERS)), why)

    def _pool(self, kind: str, pool: Pool, affinity: int) -> str:
        """Choose among endpoints: the one that remembers the client, else one in n, else one in n-1, and so on."""
        name = f"nat/{self._name(kind)}"
        if name not in self._chains:
            ends = [self._endpoint(target, affinity) for target in pool]
            rules = [
                Rule((Recently(end.partition("/")[2], affinity), Jump(end)), f"{self._origin} -> {target}")
                for target, end in (zip(pool, ends, strict=True) if affinity else ())
            ]
            for position, (target, end) in enumerate(zip(pool, ends, strict=True)):
                left = len(pool) - position
                chance = (OneIn(left),) if left > 1 else ()
                rules.append(Rule((*chance, Jump(end)), f"{self._origin} -> {target}"))
            self._chains[name] = rules
        return name

    def _endpoint(self, target: Target, affinity: int) -> str:
        """Lead to one endpoint, masquerading a pod that reaches itself."""
        own = self._name("SEP", str(target))
        name = f"nat/{own}"
        if name not in self._chains:
            remember = (Remember(own, affinity),) if affinity else ()
            translate = TranslateTo(self._protocol, target.address.packed + port_bytes(target.port))
            hairpin = Rule((Within(Source(), ip_network(target.address)), Jump(MARK_MASQ)), self._origin)
            self._chains[name] = [hairpin, Rule((*remember, translate), self._origin)]
        return name


def _at(place: Place) -> tuple[Step, ...]:
    """Match packets to a place; for a NodePort the port alone, as only the node's own addresses get that far."""
    port = To(place.port, place.protocol.lower())
    return (port,) if place.address is None else (Within(Destination(), ip_network(place.address)), port)
