"""Which UDP flows of the connection tracker are stale: they go to an endpoint that no longer serves. Pure.

The kernel remembers where it sent the first packet of a flow and sends the others the same way, also after the rules
have changed. TCP ends by itself; a UDP sender may go on for ever. TCP and SCTP flows are never touched: an endpoint
that terminates may finish what it has begun.

Messages are packed and read by hand (`kproxy.netlink`): a busy node has many flows, and all of them are listed whenever
a UDP endpoint goes. Measured with 10,000 flows: read in 0.2 s here, in 2.2 s by pyroute2's class `nfct_msg`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from kapi.network import Address, Network, Protocol
from kproxy import netlink
from kproxy.model import Datagrams, Place
from kproxy.netlink import Reply, attribute, attributes, nested

SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK
GET, DELETE = 1, 2

_UDP = 17
_ORIGINAL, _REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_BY_PROTOCOL = 1 << 3  # CTA_FILTER_FLAG(CTA_PROTO_NUM)
_FAMILIES = {4: 2, 6: 10}


@dataclass(frozen=True, slots=True)
class Flow:
    """One tracked flow: where its client sent it, who answers, and the bytes that name it to the kernel."""

    destination: Address
    port: int
    answers_from: Address
    name: bytes


@dataclass(frozen=True, slots=True)
class Watched:
    """The places whose flows are looked at, each with who may answer; ports of the node answer within `networks`."""

    places: Mapping[Place, frozenset[Address]] = field(default_factory=dict)
    networks: tuple[Network, ...] = ()

    def is_stale(self, flow: Flow) -> bool:
        """Tell whether a flow is for one of the places and goes to nobody who serves there."""
        family = flow.destination.version
        serving = self.places.get(Place(family, flow.destination, Protocol.UDP, flow.port))
        if serving is None and any(flow.destination in network for network in self.networks):
            serving = self.places.get(Place(family, None, Protocol.UDP, flow.port))
            if serving is not None and flow.answers_from == flow.destination and not self._is_exact(flow.destination):
                return False  # it may be on its way to the same port of another host
        return serving is not None and flow.answers_from not in serving

    def _is_exact(self, address: Address) -> bool:
        return any(network.num_addresses == 1 and address in network for network in self.networks)


def changed(old: Iterable[Datagrams], new: Iterable[Datagrams]) -> dict[Place, frozenset[Address]]:
    """Give the places whose flows must be looked at after a change, the ones that are no more included."""
    before = {one.place: one.serving for one in old}
    after = {one.place: one.serving for one in new}
    gone = {place: frozenset[Address]() for place in before if place not in after}
    return gone | {place: serving for place, serving in after.items() if before.get(place) != serving}


def list_message(sequence: int, family: int) -> bytes:
    """Ask for all UDP flows of a family."""
    wanted = nested(_ORIGINAL, nested(2, attribute(1, bytes((_UDP,)))))
    by = nested(_FILTER, attribute(1, _BY_PROTOCOL.to_bytes(4, "little")), attribute(2, bytes(4)))
    return netlink.message(SUBSYSTEM << 8 | GET, netlink.DUMP, sequence, _FAMILIES[family], wanted, by)


def delete_message(sequence: int, flow: Flow) -> bytes:
    """Ask for a flow to be forgotten."""
    family = _FAMILIES[flow.destination.version]
    return netlink.message(SUBSYSTEM << 8 | DELETE, netlink.ACK, sequence, family, flow.name)


def read(reply: Reply) -> Flow | None:
    """Read one flow; None where it is not UDP."""
    found = attributes(reply.body)
    original, answer = attributes(found[_ORIGINAL]), attributes(found[_REPLY])
    protocol = attributes(original[2])
    if protocol[1][0] != _UDP:
        return None
    name = attribute(_ORIGINAL | netlink.NESTED, found[_ORIGINAL]) + attribute(_ID, found[_ID])
    if _ZONE in found:
        name += attribute(_ZONE, found[_ZONE])
    return Flow(
        _address(attributes(original[1]), 2, 4),
        int.from_bytes(protocol[3], "big"),
        _source(attributes(answer[1])),
        name,
    )


def _source(found: Mapping[int, bytes]) -> Address:
    return _address(found, 1, 3)


def _address(found: Mapping[int, bytes], four: int, six: int) -> Address:
    return IPv4Address(found[four]) if four in found else IPv6Address(found[six])
