"""The chains that are there whatever the Services: kube-proxy's, under kube-proxy's names. Pure.

Chains are called `table/chain` here. Rules of Services are inserted before those that `foundation` writes.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterator
from hashlib import sha256
from ipaddress import ip_network

from kapi.network import Network
from kproxy.model import NodeDuties
from kproxy.rules.model import (
    Accept,
    Chain,
    Destination,
    Drop,
    Follows,
    Hook,
    Invalid,
    Jump,
    Mark,
    Marked,
    Masquerade,
    NewConnection,
    OwnAddress,
    Return,
    Rule,
    Source,
    Step,
    Translated,
    Unmark,
    Within,
)

SERVICES = "nat/KUBE-SERVICES"
NODE_PORTS = "nat/KUBE-NODEPORTS"
MARK_MASQ = "nat/KUBE-MARK-MASQ"
MARK_OUTSIDERS = "nat/KUBE-MARK-OUTSIDERS"
POSTROUTING = "nat/KUBE-POSTROUTING"
FIREWALL = "filter/KUBE-PROXY-FIREWALL"
ABSENT = "filter/KUBE-SERVICES"
ABSENT_ON_NODE = "filter/KUBE-EXTERNAL-SERVICES"
CLUSTER_IPS = "filter/KUBE-CLUSTER-IPS"
HEALTH = "filter/KUBE-NODEPORTS"
FORWARD = "filter/KUBE-FORWARD"
FIXED = (
    *(SERVICES, NODE_PORTS, MARK_MASQ, MARK_OUTSIDERS, POSTROUTING),
    *(FIREWALL, ABSENT, ABSENT_ON_NODE, CLUSTER_IPS, HEALTH, FORWARD),
)
_PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-")

LOOPBACK: dict[int, Network] = {4: ip_network("127.0.0.0/8"), 6: ip_network("::1/128")}
_EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


def chain_name(kind: str, *parts: str) -> str:
    """Name the chain of one Service port or endpoint as kube-proxy does: a digest, as chain names are short."""
    digest = b32encode(sha256("".join(parts).encode()).digest()).decode()
    return f"KUBE-{kind}-{digest[:16]}"


def is_ours(name: str) -> bool:
    """Tell whether a chain (`table/chain`) is of this layout."""
    return name in FIXED or name.partition("/")[2].startswith(_PREFIXES)


def foundation(node: NodeDuties, family: int) -> dict[str, Chain]:
    """Write the chains that are always there, the kernel's own with the jumps from them included."""
    everyone = (
        *_hooks(node, family),
        Chain(SERVICES, tuple(_node_port_rules(node, family))),
        Chain(NODE_PORTS, ()),
        Chain(MARK_MASQ, (Rule((Mark(node.masquerade_mark),)),)),
        Chain(MARK_OUTSIDERS, tuple(_outsiders(node, family))),
        Chain(POSTROUTING, tuple(_postrouting(node))),
        Chain(FIREWALL, ()),
        Chain(ABSENT, (Rule((Jump(CLUSTER_IPS),), "what no Service port took"),)),
        Chain(ABSENT_ON_NODE, ()),
        Chain(HEALTH, ()),
        Chain(CLUSTER_IPS, tuple(_unallocated(node, family))),
        Chain(FORWARD, tuple(_forward(node))),
    )
    return {chain.name: chain for chain in everyone}


def _hooks(node: NodeDuties, family: int) -> Iterator[Chain]:
    portals = Rule((Jump(SERVICES),), "kubernetes service portals")
    firewall = Rule((NewConnection(), Jump(FIREWALL)), "kubernetes load balancer firewall")
    # A translated connection has found its endpoint, whatever else claims the endpoint's address and port.
    unserved = (NewConnection(), Translated(negated=True))
    absent = Rule((*unserved, Jump(ABSENT)), "kubernetes service portals")
    forward = Rule((Jump(FORWARD),), "kubernetes forwarding rules")
    ports = tuple(
        Rule((*unserved, *match, Jump(ABSENT_ON_NODE)), "kubernetes node ports") for match in on_node(node, family)
    )
    yield Chain("nat/PREROUTING", (portals,), Hook("nat", "prerouting", -100))
    yield Chain("nat/OUTPUT", (portals,), Hook("nat", "output", -100))
    masquerade = Rule((Jump(POSTROUTING),), "kubernetes postrouting rules")
    yield Chain("nat/POSTROUTING", (masquerade,), Hook("nat", "postrouting", 100))
    health = Rule((Jump(HEALTH),), "kubernetes health check service ports")
    yield Chain("filter/INPUT", (health, firewall, *ports, absent), Hook("filter", "input", 0))
    yield Chain("filter/FORWARD", (firewall, forward, absent), Hook("filter", "forward", 0))
    yield Chain("filter/OUTPUT", (firewall, absent), Hook("filter", "output", 0))


def on_node(node: NodeDuties, family: int) -> Iterator[tuple[Step, ...]]:
    """Match the node's own addresses that answer on NodePorts: never loopback ones (KEP-3866)."""
    own = OwnAddress(Destination())
    for network in node.node_port_networks:
        if network.version != family or network.subnet_of(LOOPBACK[family]):  # type: ignore[arg-type]  # of one family
            continue
        if network == _EVERYWHERE[family]:
            yield (Within(Destination(), LOOPBACK[family], negated=True), own)
        else:
            yield (Within(Destination(), network), own)


def pods(node: NodeDuties, family: int) -> list[Network]:
    """Give the networks by which this node's pods are known, in one family."""
    return [network for network in node.local_traffic.networks if network.version == family]


def _node_port_rules(node: NodeDuties, family: int) -> Iterator[Rule]:
    for match in on_node(node, family):
        yield Rule((*match, Jump(NODE_PORTS)), "kubernetes service nodeports; this comes last")


def _outsiders(node: NodeDuties, family: int) -> Iterator[Rule]:
    """Mark all but pods, where one rule cannot say who they are."""
    for network in pods(node, family):
        yield Rule((Within(Source(), network), Return()))
    yield Rule((Jump(MARK_MASQ),))


def _postrouting(node: NodeDuties) -> Iterator[Rule]:
    yield Rule((Marked(node.masquerade_mark, negated=True), Return()))
    yield Rule((Unmark(node.masquerade_mark),), "cleared first: VXLAN re-uses the packet")
    yield Rule((Masquerade(),), "kubernetes service traffic requiring SNAT")


def _unallocated(node: NodeDuties, family: int) -> Iterator[Rule]:
    for network in node.service_cidrs:
        if network.version == family:
            yield Rule((Within(Destination(), network), Drop()), "an address no Service has")


def _forward(node: NodeDuties) -> Iterator[Rule]:
    yield Rule((Invalid(), Drop()), "before Linux 6.1 these ended connections")
    yield Rule((Marked(node.masquerade_mark), Accept()), "kubernetes forwarding rules")
    yield Rule((Follows(), Accept()), "kubernetes forwarding conntrack rule")
