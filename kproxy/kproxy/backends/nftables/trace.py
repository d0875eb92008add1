"""What the kernel tells of one packet's way, rule by rule (`nft monitor trace`), and how to ask for it. Pure.

A table of our own marks the first packet of the connection in question, before any chain of the proxy's sees it. The
kernel then names the table, chain and handle of every rule that takes the packet. Layouts: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from kapi.network import Address
from kproxy.backends.nftables import encode
from kproxy.backends.nftables.encode import ElementWriter, Step
from kproxy.netlink import SUBSYSTEM, Reply, attributes
from kproxy.rules.fields import port_bytes
from kproxy.rules.model import Chain, Destination, Hook, In, NewConnection, Port, Rule, Set, Source, Trace

TABLE = "kproxy-trace"
GROUP = 9  # NFNLGRP_NFTRACE
KIND = SUBSYSTEM << 8 | 17  # NFT_MSG_TRACE
_WATCHED = "watched"
_AFTER_CONNTRACK = -199  # the kernel knows by then which packets begin a connection
FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}  # of tables that IP packets come to
_DESTINATIONS = {2: (16, 20), 10: (24, 40)}  # where the address stands in the header, by family
_CODES = {0: "drops it", 1: "lets it pass", -1: "goes on", -2: "goes on", -3: "goes to", -4: "goes to", -5: "goes back"}


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that happened to a packet: where, and what came of it.

    `handle` is the rule's, 0 where the chain ended without one. `destination` and `port` are where the packet was going
    by then; the kernel tells them once for each base chain, else they are None and 0.
    """

    packet: int  # the kernel's number for it
    family: str  # of the table: "ip", "ip6" or "inet"
    table: str
    chain: str
    handle: int
    did: str
    destination: Address | None = None
    port: int = 0


Place = tuple[str, str, str, int]  # a rule's family, table, chain and handle


class Known(NamedTuple):
    """A rule as the kernel lists it: its position in its chain, from 1 on, and what is kept beside it."""

    position: int
    userdata: bytes


def arm(source: Address, destination: Address, protocol: str, port: int) -> Iterator[Step]:
    """Write what makes the kernel tell of the first packets of such connections."""
    family, key = source.version, (Source(), Destination(), Port(protocol))
    watched = Set(_WATCHED, key)
    rule = Rule((NewConnection(), In(key, _WATCHED), Trace()), "kproxy explain --live")
    yield encode.new_table(family, TABLE, "kproxy explain --live: removed when it ends")
    yield encode.new_set(family, TABLE, watched)
    asked = source.packed + destination.packed + port_bytes(port)
    yield from ElementWriter(family, TABLE, watched).add([(asked, None)])
    for point in ("prerouting", "output"):
        chain = Chain(f"trace-{point}", (rule,), Hook("filter", point, _AFTER_CONNTRACK))
        yield encode.new_chain(family, TABLE, chain)
        yield encode.new_rule(family, TABLE, chain.name, rule)


def disarm(family: int) -> Step:
    """Write what ends it."""
    return encode.delete_table(family, TABLE)


def handles(listed: Iterable[Reply]) -> Mapping[Place, Known]:
    """Read a listing of rules."""
    found: dict[Place, Known] = {}
    counted: Counter[tuple[str, str, str]] = Counter()
    for reply in listed:
        if reply.family in FAMILIES:
            held = attributes(reply.body)
            chain = FAMILIES[reply.family], _text(held[1]), _text(held[2])
            counted[chain] += 1
            found[*chain, int.from_bytes(held[3], "big")] = Known(counted[chain], held.get(7, b""))
    return found


def read(reply: Reply) -> Sighting | None:
    """Read a message of the kernel's; None is one about something else."""
    if reply.kind != KIND or reply.family not in FAMILIES:
        return None
    held = attributes(reply.body)
    destination, port = _where_to(held)
    return Sighting(
        packet=_number(held[6]),
        family=FAMILIES[reply.family],
        table=_text(held[1]),
        chain=_text(held[2]),
        handle=_number(held.get(3, b"")),
        did=_did(held),
        destination=destination,
        port=port,
    )


def _did(held: Mapping[int, bytes]) -> str:
    if 5 not in held:
        policy = _number(held.get(16, b""))
        return f"{'lets it pass' if policy else 'drops it'}, as is the chain's policy"
    verdict = attributes(held[5])
    code = int.from_bytes(verdict[1], "big", signed=True)
    return f"{_CODES.get(code, f'has verdict {code}')} {_text(verdict.get(2, b''))}".rstrip()


def _where_to(held: Mapping[int, bytes]) -> tuple[Address | None, int]:
    start, end = _DESTINATIONS.get(_number(held.get(15, b"")), (0, 0))
    address = held.get(8, b"")[start:end]
    if not address or len(address) < end - start:
        return None, 0
    return ip_address(address), _number(held.get(9, b"")[2:4])


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
