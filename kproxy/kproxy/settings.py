"""How a proxy is set up, and what follows from that and its Node object. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from kapi.network import Network, Node
from kproxy.model import LocalTraffic, NodeDuties
from kproxy.topology import Here

PRIMARY = "primary"
ALL = "all"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator chooses; the defaults are kube-proxy's in nftables mode.

    `node_port_addresses` are networks, `primary` (the Node object's addresses) or `all`. Pods are known by
    `local_traffic`; where that says nothing, by the Node's own pod networks.
    """

    local_traffic: LocalTraffic = field(default_factory=LocalTraffic)
    node_port_addresses: tuple[str, ...] = (PRIMARY,)
    service_cidrs: tuple[Network, ...] = ()
    masquerade_all: bool = False
    masquerade_bit: int = 14
    families: tuple[int, ...] = (4, 6)
    drift_seconds: float = 5.0  # how often somebody else's hand in the rules is looked for
    retry_seconds: float = 0.5  # the first wait after a failed commit; it doubles up to `retry_limit`
    retry_limit: float = 30.0


def node_duties(settings: Settings, node: Node | None) -> NodeDuties:
    """Say what holds for the node as a whole; `node` is None while its object is not known."""
    local = settings.local_traffic
    if not local.networks and not local.interface and node is not None:
        local = LocalTraffic(networks=node.pod_cidrs)
    return NodeDuties(
        node_port_networks=tuple(_node_port_networks(settings.node_port_addresses, node)),
        local_traffic=local,
        service_cidrs=settings.service_cidrs,
        masquerade_all=settings.masquerade_all,
        masquerade_mark=1 << settings.masquerade_bit,
    )


def here(name: str, node: Node | None) -> Here:
    """Say where a node is, as far as endpoints are chosen by it."""
    return Here(name) if node is None else Here(name, node.zone, node.addresses)


def _node_port_networks(words: Iterable[str], node: Node | None) -> Iterator[Network]:
    for word in words:
        if word == PRIMARY:
            yield from (ip_network(address) for address in (node.addresses if node else ()))
        elif word == ALL:
            yield from (ip_network("0.0.0.0/0"), ip_network("::/0"))
        else:
            yield ip_network(word, strict=False)
