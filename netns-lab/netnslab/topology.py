"""What a lab consists of: its nodes, their addresses, the router and the client beyond it. Pure.

```
   client ----- router ----- control-plane
 198.51.100.10    |  `------ worker-1 --- pods 10.244.1.0/24
                  |  `------ worker-2 --- pods 10.244.2.0/24
            172.30.0.0/24
```
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netnslab.errors import InvalidTopology

NODE_NETWORKS = (IPv4Network("172.30.0.0/24"), IPv6Network("fd30::/64"))
CLIENT_NETWORKS = (IPv4Network("198.51.100.0/24"), IPv6Network("2001:db8:c::/64"))
SERVICE_CIDRS = (IPv4Network("10.96.0.0/16"), IPv6Network("fd96::/112"))
POD_NETWORKS = (IPv4Network("10.244.0.0/16"), IPv6Network("fd44::/48"))

ROUTER_HOST = 1  # the router's host number in the node and the client network
CLIENT_HOST = 10
FIRST_NODE_HOST = 10
ZONES = ("zone-a", "zone-b")
MOST_NODES = 200  # node addresses are .10 and up in a /24

ROUTER = "router"
CLIENT = "client"
CONTROL_PLANE = "control-plane"

AnyAddress = IPv4Address | IPv6Address
AnyNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Addresses:
    """One host's address in each family, and the networks they are in."""

    v4: IPv4Address
    v6: IPv6Address
    networks: tuple[IPv4Network, IPv6Network]

    @classmethod
    def at(cls, networks: tuple[IPv4Network, IPv6Network], host: int) -> Addresses:
        """The addresses with host number `host`."""
        return cls(networks[0][host], networks[1][host], networks)

    @property
    def both(self) -> tuple[AnyAddress, AnyAddress]:
        """The IPv4 address, then the IPv6 address."""
        return self.v4, self.v6


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node. `number` 0 is the control plane; `pod_networks` are its pod CIDRs."""

    name: str
    number: int
    zone: str
    addresses: Addresses
    pod_networks: tuple[IPv4Network, IPv6Network]

    @property
    def gateway(self) -> Addresses:
        """The node's own addresses on its pod bridge: what its pods send everything to."""
        return Addresses.at(self.pod_networks, 1)

    @property
    def control_plane(self) -> bool:
        """Whether the API server is reached at this node."""
        return self.number == 0


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole lab. The first node is the control plane."""

    nodes: tuple[NodeSpec, ...]
    router: Addresses
    router_outside: Addresses
    client: Addresses

    @property
    def control_plane(self) -> NodeSpec:
        """The node that the API server is reached at."""
        return self.nodes[0]

    def node(self, name: str) -> NodeSpec:
        """The node of that name; KeyError where there is none."""
        return next(node for node in self.nodes if node.name == name)


def default(nodes: int = 3) -> Topology:
    """A control plane and `nodes` - 1 workers, in two zones.

    Raises InvalidTopology for a number of nodes that does not fit the node network.
    """
    if not 1 <= nodes <= MOST_NODES:
        raise InvalidTopology(f"a lab has between 1 and {MOST_NODES} nodes, not {nodes}")
    return Topology(
        nodes=tuple(_node(number) for number in range(nodes)),
        router=Addresses.at(NODE_NETWORKS, ROUTER_HOST),
        router_outside=Addresses.at(CLIENT_NETWORKS, ROUTER_HOST),
        client=Addresses.at(CLIENT_NETWORKS, CLIENT_HOST),
    )


def _node(number: int) -> NodeSpec:
    return NodeSpec(
        name=f"worker-{number}" if number else CONTROL_PLANE,
        number=number,
        zone=ZONES[(number - 1) % len(ZONES)] if number else ZONES[0],
        addresses=Addresses.at(NODE_NETWORKS, FIRST_NODE_HOST + number),
        pod_networks=(
            IPv4Network((int(POD_NETWORKS[0].network_address) + (number << 8), 24)),
            IPv6Network((int(POD_NETWORKS[1].network_address) + (number << 64), 64)),
        ),
    )
