"""How the fields of a set's key are written in bytes, and read from them. Pure.

Every field of a key or value takes a multiple of four bytes: addresses in network order, ports in network order with
two bytes of padding, and random numbers in the host's order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from struct import pack

from kapi.network import Address, Network
from kproxy.rules.model import CalledPort, Expression, Key, Port, Random, Service, SourcePort

_PORTS_PADDING = b"\0\0"
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
ORDER = sys.byteorder
PORTS = Port | SourcePort | CalledPort


@cache  # there are few, and each is written with every endpoint and frontend that has it
def port_bytes(number: int) -> bytes:
    """Write a port, padded as a field among others."""
    return pack(">H", number) + _PORTS_PADDING


def service_bytes(protocol: str, port: int) -> bytes:
    """Write a protocol ("tcp") and a port, as `Service` reads them."""
    return pack(">HH", PROTOCOLS[protocol], port)


@cache  # there are as many as the largest Service has endpoints
def index_bytes(number: int) -> bytes:
    """Write an index: a number as `Random` draws it."""
    return number.to_bytes(4, ORDER)


def width(expression: Expression, family: int) -> int:
    """Bytes of one field, padding included."""
    return 4 if isinstance(expression, PORTS | Random | Service) or family == 4 else 16


def size(key: Key, family: int) -> int:
    """Bytes of a whole key as the kernel declares it: a port that stands alone has no padding."""
    if len(key) == 1 and isinstance(key[0], Port):
        return 2
    return sum(width(part, family) for part in key)


def fields(key: Key, data: bytes, family: int) -> Iterator[Address | int]:
    """Read the fields of a key or value."""
    offset = 0
    for part in key:
        piece = data[offset : offset + width(part, family)]
        offset += len(piece)
        if isinstance(part, Random):
            yield int.from_bytes(piece, ORDER)
        elif isinstance(part, PORTS):
            yield int.from_bytes(piece[:2], "big")
        elif isinstance(part, Service):
            yield int.from_bytes(piece, "big")
        else:
            yield IPv4Address(piece) if family == 4 else IPv6Address(piece)


def network_bounds(network: Network) -> bytes:
    """Write a network as an element of an interval set: its first address, then its last."""
    return network.network_address.packed + network.broadcast_address.packed
