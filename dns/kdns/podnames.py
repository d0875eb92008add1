"""The names of pods: each spells its address, `10-0-0-1.namespace.pod.zone`. Pure.

The specification has none since its schema 1.1.0, but people use them. As in CoreDNS, names up to two labels below are
the same, and SRV leads to the name itself, without a port.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import NamedTuple

from kapi.network import Address
from kdns import names, wire
from kdns.query import Query
from kdns.wire import Answer, Rcode, Type

_MOST_BELOW = 2  # labels in front of a pod's name
_SERVICE = struct.pack("!HHH", 0, 100, 0)  # priority, weight, port


class PodName(NamedTuple):
    """A pod's name on the wire, the namespace's name in it, and the address that it spells."""

    name: bytes
    namespace: str
    address: Address


def spelled(name: bytes, zone: bytes) -> PodName | None:
    """Read the name (lower-case) of a pod, or one below it; `zone` is `pod.ZONE` on the wire."""
    below = list(names.labels(name))[: -len(list(names.labels(zone)))]
    if not name.endswith(zone) or not 2 <= len(below) <= 2 + _MOST_BELOW:
        return None
    label, namespace = [each.decode("latin-1") for each in below[-2:]]
    address = names.undashed(label)
    if address is None:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return PodName(name[-len(label) - len(namespace) - 2 - len(zone) :], namespace, address)


def answered(query: Query, pod: PodName, ttl: int) -> Answer | None:
    """Give the answer for a pod that exists; None where it has no data of that type."""
    family = Type.A if pod.address.version == 4 else Type.AAAA
    if query.type == family:
        record = wire.record(wire.POINTER, family, ttl, pod.address.packed)
        return Answer(wire.flags_of(Rcode.NOERROR), wire.counts_of(1), record)
    if query.type != Type.SRV:
        return None
    itself = (0xC000 | wire.HEADER + len(query.name) - len(pod.name)).to_bytes(2, "big")
    service = wire.record(wire.POINTER, Type.SRV, ttl, _SERVICE + pod.name)
    address = wire.record(itself, family, ttl, pod.address.packed)
    return Answer(wire.flags_of(Rcode.NOERROR), wire.counts_of(1, 0, 1), service + address)
