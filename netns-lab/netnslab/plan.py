"""From a topology to kernel steps: what each namespace of a lab needs, and what one more pod needs. Pure.

Pods have host addresses (/32 and /128) and reach everything through their node: the ports of a pod bridge are
isolated from each other, so traffic between two pods of one node is routed too, and the node's netfilter rules see
both directions of it. (On a plain bridge the answer to a translated connection would bypass the translation, unless
the br_netfilter module is loaded.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_interface, ip_network

from netnslab.steps import AnyInterface, Assign, Attach, Bridge, Route, Step, Sysctl, Up, Veth
from netnslab.topology import CLIENT, ROUTER, Addresses, AnyAddress, AnyNetwork, NodeSpec, Topology

UPLINK = "eth0"
POD_BRIDGE = "cbr0"  # the name that kubenet gave it
NODE_BRIDGE = "nodes"
DEFAULTS: tuple[AnyNetwork, AnyNetwork] = (ip_network("0.0.0.0/0"), ip_network("::/0"))

_FORWARDING = (
    Sysctl("net/ipv4/ip_forward", "1"),
    Sysctl("net/ipv6/conf/all/forwarding", "1"),
    # A router that sends a packet back out of the link it came from would advise the sender of a shorter way; there
    # is none between isolated ports.
    Sysctl("net/ipv4/conf/all/send_redirects", "0"),
    Sysctl("net/ipv4/conf/default/send_redirects", "0"),
    # Where br_netfilter is loaded it would translate addresses below the bridge and then forward between its ports,
    # which are isolated. Here netfilter sees what is routed, with and without that module.
    Sysctl("net/bridge/bridge-nf-call-iptables", "0", optional=True),
    Sysctl("net/bridge/bridge-nf-call-ip6tables", "0", optional=True),
)
# The kernel holds ICMP errors back when it has sent many: clients would see silence where rules refuse a connection.
_REFUSING = (Sysctl("net/ipv4/icmp_ratelimit", "0"), Sysctl("net/ipv6/icmp/ratelimit", "0"))
_EVERYWHERE = (
    Sysctl("net/ipv4/conf/all/rp_filter", "0"),
    Sysctl("net/ipv4/conf/default/rp_filter", "0"),
    Sysctl("net/ipv6/conf/default/accept_dad", "0"),  # link-local addresses are usable at once
    Up("lo"),
)
_POD = (*_EVERYWHERE[2:], Sysctl("net/ipv6/conf/default/accept_redirects", "0"))


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What to do in each namespace, in this order: a veth pair is made by the namespace listed first."""

    steps: Mapping[str, tuple[Step, ...]]


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What to do for one pod: first on its node, then in its own namespace (called `POD` by the node's steps)."""

    node: tuple[Step, ...]
    pod: tuple[Step, ...]


POD = "pod"


def network(topology: Topology) -> NetworkPlan:
    """Everything but pods: router, nodes and client, the links between them, and the routes."""
    steps: dict[str, tuple[Step, ...]] = {ROUTER: tuple(_router(topology))}
    steps |= {node.name: tuple(_node(node, topology)) for node in topology.nodes}
    steps[CLIENT] = (
        *_EVERYWHERE,
        *(Assign(UPLINK, address) for address in interfaces(topology.client)),
        *(Route(d, UPLINK, (via,)) for d, via in _pairs(DEFAULTS, topology.router_outside)),
    )
    return NetworkPlan(steps)


def pod(node: NodeSpec, addresses: Addresses) -> PodPlan:
    """Connect one pod to its node's bridge. Its port there is called `pod` and the address's host number."""
    port = port_name(node, addresses.v4)
    return PodPlan(
        node=(Veth(port, POD, UPLINK), Attach(port, POD_BRIDGE, isolated=True)),
        pod=(
            *(Assign(UPLINK, ip_interface(address)) for address in addresses.both),
            *(Route(ip_network(gateway), UPLINK) for gateway in node.gateway.both),
            *(Route(d, UPLINK, (gateway,)) for d, gateway in _pairs(DEFAULTS, node.gateway)),
        ),
    )


def before_pod() -> tuple[Step, ...]:
    """What a pod's namespace needs before it gets its link."""
    return _POD


def port_name(node: NodeSpec, address: IPv4Address) -> str:
    """The name, on the node, of the bridge port of the pod with this address."""
    return f"pod{int(address) - int(node.pod_networks[0].network_address)}"


def load_balancer_route(address: AnyAddress, nodes: tuple[NodeSpec, ...]) -> Route:
    """How the router reaches a load balancer's address: by the given nodes, flow by flow."""
    gateways = tuple(node.addresses.v4 if address.version == 4 else node.addresses.v6 for node in nodes)
    return Route(ip_network(address), NODE_BRIDGE, gateways, replace=True)


def interfaces(addresses: Addresses) -> tuple[AnyInterface, ...]:
    """The addresses with the prefix lengths of their networks."""
    return tuple(
        ip_interface(f"{address}/{network.prefixlen}") for network, address in _pairs(addresses.networks, addresses)
    )


def _router(topology: Topology) -> Iterator[Step]:
    yield from (*_FORWARDING, *_EVERYWHERE)
    yield Sysctl("net/ipv4/fib_multipath_hash_policy", "1")  # spread flows by ports too: one client is many flows
    yield Sysctl("net/ipv6/fib_multipath_hash_policy", "1")
    yield Bridge(NODE_BRIDGE, _mac(topology.router.v4))
    for node in topology.nodes:
        yield Veth(node.name, node.name, UPLINK, peer_mac=_mac(node.addresses.v4))
        yield Attach(node.name, NODE_BRIDGE)
    yield Veth(CLIENT, CLIENT, UPLINK)
    yield from (Assign(NODE_BRIDGE, address) for address in interfaces(topology.router))
    yield from (Assign(CLIENT, address) for address in interfaces(topology.router_outside))
    for node in topology.nodes:
        yield from _pod_routes(node, NODE_BRIDGE)


def _node(node: NodeSpec, topology: Topology) -> Iterator[Step]:
    yield from (*_FORWARDING, *_REFUSING, *_EVERYWHERE)
    yield Bridge(POD_BRIDGE, _mac(node.gateway.v4))
    yield from (Assign(UPLINK, address) for address in interfaces(node.addresses))
    yield from (Assign(POD_BRIDGE, address) for address in interfaces(node.gateway))
    for other in topology.nodes:
        if other != node:
            yield from _pod_routes(other, UPLINK)
    yield from (Route(d, UPLINK, (via,)) for d, via in _pairs(DEFAULTS, topology.router))


def _pod_routes(node: NodeSpec, link: str) -> Iterator[Step]:
    for destination, via in _pairs(node.pod_networks, node.addresses):
        yield Route(destination, link, (via,))


def _pairs(networks: tuple[AnyNetwork, ...], addresses: Addresses) -> tuple[tuple[AnyNetwork, AnyAddress], ...]:
    """Each family's network with its address."""
    return ((networks[0], addresses.v4), (networks[1], addresses.v6))


def _mac(address: IPv4Address) -> bytes:
    """A fixed, locally administered MAC address: one that moved would leave stale neighbour entries behind."""
    return b"\x0a\x58" + address.packed
