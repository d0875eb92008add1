"""How a proxy is set up, and what follows from that and its Node object. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network

from kapi.network import Address, Network, Node
from kproxy.model import Absence, LocalTraffic, NodeDuties
from kproxy.topology import Here

PRIMARY = "primary"
ALL = "all"
LOCALHOST = "localhost"
WORDS = (PRIMARY, ALL, LOCALHOST)  # KEP-6032
Bind = tuple[str, int]  # address and port of a server


class Traffic(StrEnum):
    """Whose packets and bytes the metrics tell."""

    ENDPOINTS = "endpoints"  # of every Service port, and of each of its endpoints
    SERVICES = "services"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator chooses; the defaults are kube-proxy's in nftables mode.

    `node_port_addresses` are networks, `primary` (the Node object's addresses), `all`, and `localhost` (127.0.0.1 and
    ::1, TCP, from this node only). Pods are known by `local_traffic`; where that says nothing, by the Node's own pod
    networks. `node_addresses` stand in for those of a Node object that does not exist.
    """

    local_traffic: LocalTraffic = field(default_factory=LocalTraffic)
    node_port_addresses: tuple[str, ...] = (PRIMARY,)
    service_cidrs: tuple[Network, ...] = ()
    masquerade_all: bool = False
    masquerade_bit: int = 14
    without_endpoints: Absence | None = None  # None is Kubernetes' way: see `kproxy.desired.duties`
    families: tuple[int, ...] = (4, 6)
    node_addresses: tuple[Address, ...] = ()
    healthz: Bind | None = None  # where /healthz and /livez are served; kube-proxy has 0.0.0.0:10256
    metrics: Bind | None = None  # where /metrics and /proxyMode are served; kube-proxy has 127.0.0.1:10249
    traffic: Traffic = Traffic.ENDPOINTS  # told by the metrics, so without these nothing is counted
    stuck_seconds: float = 60.0  # a change that waits longer makes /healthz and /livez fail
    rest_seconds: float = 0.002  # what changes within it, after a commit, follows with the next one, together
    drift_seconds: float = 5.0  # how often somebody else's hand in the rules is looked for
    retry_seconds: float = 0.5  # the first wait after a failed commit; it doubles up to `retry_limit`
    retry_limit: float = 30.0


def node_duties(settings: Settings, node: Node | None) -> NodeDuties:
    """Say what holds for the node as a whole; `node` is None while its object is not known."""
    local = settings.local_traffic
    if not local.networks and not local.interface and node is not None:
        local = LocalTraffic(networks=node.pod_cidrs)
    return NodeDuties(
        node_port_networks=tuple(_node_port_networks(settings, node)),
        local_traffic=local,
        service_cidrs=settings.service_cidrs,
        masquerade_all=settings.masquerade_all,
        masquerade_mark=1 << settings.masquerade_bit,
    )


def here(settings: Settings, name: str, node: Node | None) -> Here:
    """Say where a node is, as far as endpoints are chosen by it."""
    return Here(name, node.zone if node else "", addresses(settings, node))


def addresses(settings: Settings, node: Node | None) -> tuple[Address, ...]:
    """Give the node's primary addresses."""
    return (node.addresses if node else ()) or settings.node_addresses


def on_localhost(settings: Settings) -> bool:
    """Whether NodePorts answer on 127.0.0.1 and ::1, too."""
    words = settings.node_port_addresses
    return any(
        word == LOCALHOST or (word not in WORDS and ip_network(word, strict=False).is_loopback) for word in words
    )


def _node_port_networks(settings: Settings, node: Node | None) -> Iterator[Network]:
    for word in settings.node_port_addresses:
        if word == PRIMARY:
            yield from map(ip_network, addresses(settings, node))
        elif word == ALL:
            yield from (ip_network("0.0.0.0/0"), ip_network("::/0"))
        elif word != LOCALHOST:
            yield ip_network(word, strict=False)
