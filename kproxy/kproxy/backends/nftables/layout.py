"""The part of the ruleset that never changes: sets, maps and base chains of one IP family. Pure.

`docs/reference/nftables.md` walks through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import collapse_addresses, ip_network

from kapi.network import Network
from kproxy.backends.nftables.classes import POD_NETWORKS, dispatch_name, map_name, place_key
from kproxy.model import NodeDuties
from kproxy.rules.fields import network_bounds
from kproxy.rules.model import (
    Chain,
    Destination,
    Dispatch,
    Drop,
    Elements,
    Goto,
    Hook,
    In,
    Marked,
    Masquerade,
    NewConnection,
    OwnAddress,
    Random,
    Reject,
    Rule,
    Set,
    Source,
    Step,
    Translated,
    Unmark,
)

TABLE = "kproxy"
PROTOCOLS = ("tcp", "udp", "sctp")
MOST_ENDPOINTS = 65536

NODE_ADDRESSES = "node-addresses"
SERVICE_NETWORKS = "service-networks"
CLUSTER_IPS = "cluster-ips"
HAIRPIN = "hairpin"
REJECT_CHAIN = "reject-it"

_LOOPBACK: dict[int, Network] = {4: ip_network("127.0.0.0/8"), 6: ip_network("::1/128")}
_BEFORE_NAT = -110
_AFTER_NAT = -90


def firewalled_name(protocol: str) -> str:
    """Name the set of load-balancer frontends with source ranges."""
    return f"{protocol}-firewalled"


def allowed_name(protocol: str) -> str:
    """Name the set of sources that may reach them."""
    return f"{protocol}-allowed"


def absent_name(protocol: str, node_port: bool) -> str:
    """Name the verdict map of frontends that have no endpoint for whoever gets that far."""
    return f"{protocol}-{'nodeports' if node_port else 'frontends'}-without-endpoints"


def sets() -> dict[str, Set]:
    """Declare every set and map, in the order they are listed."""
    everyone = [
        Set(POD_NETWORKS, (Source(),), interval=True),
        Set(NODE_ADDRESSES, (Destination(),), interval=True),
        Set(SERVICE_NETWORKS, (Destination(),), interval=True),
        Set(CLUSTER_IPS, (Destination(),)),
        Set(HAIRPIN, (Source(), Destination())),
    ]
    for protocol in PROTOCOLS:
        everyone += _protocol_sets(protocol)
    return {s.name: s for s in everyone}


def _protocol_sets(protocol: str) -> Iterator[Set]:
    target = place_key(protocol, node_port=False)
    for node_port in (False, True):
        place = place_key(protocol, node_port)
        for local in (False, True):
            yield Set(dispatch_name(protocol, node_port, local=local), place, ())
            yield Set(map_name(protocol, node_port, local=local), (*place, Random(MOST_ENDPOINTS)), target)
        yield Set(absent_name(protocol, node_port), place, ())
    yield Set(firewalled_name(protocol), target)
    yield Set(allowed_name(protocol), (*target, Source()), interval=True)


def chains(node: NodeDuties) -> dict[str, Chain]:
    """Write the base chains, and the chains they share."""
    everyone = (
        Chain(REJECT_CHAIN, (Rule((Reject(),)),)),
        Chain("services", tuple(_service_rules())),
        Chain("absent", tuple(_absent_rules())),
        Chain("absent-on-node", tuple(_absent_on_node_rules())),
        Chain("firewall", tuple(_firewall_rules())),
        *_base_chains(node),
    )
    return {c.name: c for c in everyone}


def _base_chains(node: NodeDuties) -> Iterator[Chain]:
    firewall = Rule((NewConnection(), Goto("firewall")))
    # A translated connection has found its endpoint, whatever else claims the endpoint's address and port.
    unserved = (NewConnection(), Translated(negated=True))
    absent = Rule((*unserved, Goto("absent")))
    services = Rule((Goto("services"),))
    yield Chain("filter-prerouting", (firewall,), Hook("filter", "prerouting", _BEFORE_NAT))
    yield Chain("filter-output", (firewall,), Hook("filter", "output", _BEFORE_NAT))
    yield Chain("nat-prerouting", (services,), Hook("nat", "prerouting", -100))
    yield Chain("nat-output", (services,), Hook("nat", "output", -100))
    yield Chain("filter-output-after-nat", (absent,), Hook("filter", "output", _AFTER_NAT))
    yield Chain("filter-forward", (absent,), Hook("filter", "forward", 0))
    on_node = Rule((*unserved, Goto("absent-on-node")))
    yield Chain("filter-input", (on_node,), Hook("filter", "input", 0))
    yield Chain("nat-postrouting", tuple(_masquerade_rules(node)), Hook("nat", "postrouting", 100))


def _service_rules() -> Iterator[Rule]:
    for protocol in PROTOCOLS:
        yield Rule((Dispatch(place_key(protocol, False), dispatch_name(protocol, False)),))
    for protocol in PROTOCOLS:
        yield Rule((*_on_node(), Dispatch(place_key(protocol, True), dispatch_name(protocol, True))))


def _on_node() -> tuple[Step, ...]:
    return (In((Destination(),), NODE_ADDRESSES), OwnAddress(Destination()))


def _absent_rules() -> Iterator[Rule]:
    for protocol in PROTOCOLS:
        yield Rule((Dispatch(place_key(protocol, False), absent_name(protocol, False)),))
    yield Rule((In((Destination(),), CLUSTER_IPS), Reject()), "a port the Service does not have")
    yield Rule((In((Destination(),), SERVICE_NETWORKS), Drop()), "an address no Service has")


def _absent_on_node_rules() -> Iterator[Rule]:
    for protocol in PROTOCOLS:
        yield Rule((*_on_node(), Dispatch(place_key(protocol, True), absent_name(protocol, True))))
    yield Rule((Goto("absent"),))


def _firewall_rules() -> Iterator[Rule]:
    for protocol in PROTOCOLS:
        place = place_key(protocol, False)
        allowed = In((*place, Source()), allowed_name(protocol), negated=True)
        yield Rule((In(place, firewalled_name(protocol)), allowed, Drop()), "loadBalancerSourceRanges")


def _masquerade_rules(node: NodeDuties) -> Iterator[Rule]:
    bit = node.masquerade_mark
    yield Rule((Marked(bit), Unmark(bit), Masquerade()), "the mark is cleared first: VXLAN re-uses the packet")
    yield Rule((Translated(), In((Source(), Destination()), HAIRPIN), Masquerade()), "a pod that reaches itself")


def node_elements(node: NodeDuties, family: int) -> dict[str, Elements]:
    """Fill the sets that hold for the node as a whole."""
    own = [part for n in node.node_port_networks if n.version == family for part in _without_loopback(n)]
    return {
        POD_NETWORKS: _intervals(node.local_traffic.networks, family),
        NODE_ADDRESSES: _intervals(own, family),
        SERVICE_NETWORKS: _intervals(node.service_cidrs, family),
    }


def _intervals(networks: tuple[Network, ...] | list[Network], family: int) -> Elements:
    fitting = [n for n in networks if n.version == family]
    return {network_bounds(n): None for n in collapse_addresses(fitting)}  # type: ignore[type-var]  # one family


def _without_loopback(network: Network) -> Iterator[Network]:
    """NodePorts never answer on loopback addresses (KEP-3866)."""
    loopback = _LOOPBACK[network.version]
    if network.subnet_of(loopback):  # type: ignore[arg-type]  # of one family
        return
    if loopback.subnet_of(network):  # type: ignore[arg-type]  # of one family
        yield from network.address_exclude(loopback)  # type: ignore[arg-type]  # of one family
    else:
        yield network
