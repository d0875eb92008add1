"""What can be done to a network namespace, as values: links, addresses, routes, sysctls. Pure.

Steps name links, never interface indexes, and other namespaces by the name the plan gives them; `netnslab.kernel`
carries them out, many in one netlink batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

AnyAddress = IPv4Address | IPv6Address
AnyInterface = IPv4Interface | IPv6Interface
AnyNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Up:
    """Bring an existing link up: usually `lo`."""

    link: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """Create a bridge, up. `mac` pins its address: an unpinned one changes with its ports."""

    name: str
    mac: bytes = b""


@dataclass(frozen=True, slots=True)
class Veth:
    """Create a veth pair, both ends up: `name` here, `peer` in the namespace called `peer_namespace`."""

    name: str
    peer_namespace: str
    peer: str
    mac: bytes = b""
    peer_mac: bytes = b""


@dataclass(frozen=True, slots=True)
class Attach:
    """Make `link` a port of the bridge `bridge`.

    An `isolated` port exchanges frames with the bridge itself only, so ports reach each other by routing, through
    netfilter. A `hairpin` port may get back the frames it sent.
    """

    link: str
    bridge: str
    isolated: bool = False
    hairpin: bool = False


@dataclass(frozen=True, slots=True)
class Assign:
    """Give `link` an address, usable at once (no duplicate address detection)."""

    link: str
    address: AnyInterface


@dataclass(frozen=True, slots=True)
class Route:
    """Send `destination` to a gateway, to several (spread by flow), or, with none, straight out of `link`.

    With `replace`, a route to the same destination is changed in one step. `source` is the preferred source address.
    """

    destination: AnyNetwork
    link: str = ""
    via: tuple[AnyAddress, ...] = ()
    onlink: bool = False
    replace: bool = False
    source: AnyAddress | None = None


@dataclass(frozen=True, slots=True)
class Unroute:
    """Remove the route to `destination`."""

    destination: AnyNetwork


@dataclass(frozen=True, slots=True)
class RemoveLink:
    """Remove a link (of a veth pair: both ends)."""

    name: str


@dataclass(frozen=True, slots=True)
class RemoveLinks:
    """Remove links together, those that are gone already excepted.

    The kernel waits until nobody can use a link any more, tens of milliseconds, and does so once for all of them.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sysctl:
    """Write a value to `/proc/sys/<name>` as this namespace sees it; `name` is a path: `net/ipv4/ip_forward`.

    An `optional` one is passed over where the kernel has none: it belongs to a module that is not loaded.
    """

    name: str
    value: str
    optional: bool = False


Step = Up | Bridge | Veth | Attach | Assign | Route | Unroute | RemoveLink | RemoveLinks | Sysctl
