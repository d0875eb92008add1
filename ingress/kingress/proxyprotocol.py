"""The PROXY protocol, versions 1 and 2: a load balancer says, before all else, whose connection it passes on. Pure.

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt (2.1, 2.2).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

LONGEST = 536  # bytes of a header that is read: version 1 has at most 107, version 2 here as many as 536

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_LONGEST = 107
_INET = {0x11: ("!4s4s", 12), 0x21: ("!16s16s", 36)}


class BadPreface(ValueError):
    """What a peer that must begin with a PROXY header begins with instead."""


def parse(data: bytes) -> tuple[int, str] | None:
    """Give the length of the header and the client's address, "" where it is not told; None while it is incomplete.

    Raises BadPreface.
    """
    if data.startswith(_SIGNATURE[: len(data)]):
        return _parse_binary(data)
    if data.startswith(b"PROXY "[: len(data)]):
        return _parse_text(data)
    raise BadPreface("it does not begin with a PROXY header")


def _parse_text(data: bytes) -> tuple[int, str] | None:
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise BadPreface("its PROXY header does not end")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return end + 2, ""
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise BadPreface("its PROXY header is not one of TCP4, TCP6 and UNKNOWN")
    try:
        address = ip_address(words[2].decode("ascii"))
    except ValueError:
        raise BadPreface("its PROXY header has no address") from None
    if address.version != (4 if words[1] == b"TCP4" else 6):
        raise BadPreface("its PROXY header has an address of the other family")
    return end + 2, _plain(address)


def _parse_binary(data: bytes) -> tuple[int, str] | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (0x20, 0x21) or 16 + length > LONGEST:
        raise BadPreface("its PROXY header is of a version or length that is not read")
    if len(data) < 16 + length:
        return None
    if command == 0x20 or family not in _INET:  # of the balancer's own, such as a health check, or not of TCP
        return 16 + length, ""
    form, least = _INET[family]
    if length < least:
        raise BadPreface("its PROXY header is shorter than its addresses")
    source, _ = struct.unpack_from(form, data, 16)
    return 16 + length, _plain(ip_address(source))


def _plain(address: IPv4Address | IPv6Address) -> str:
    """Give an IPv4 address as one, also where it is written as an IPv6 one: rules for it must fit."""
    return str(getattr(address, "ipv4_mapped", None) or address)
