"""Domain names: as text, on the wire, and as Kubernetes derives them from addresses. Pure.

Text is lower-case without the final dot; the wire form is the one of RFC 1035 section 3.1, lower-case and never
compressed, so that equal names are equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from kapi.network import Address, Network
from kdns.errors import NameInvalid

ROOT = b"\0"
MOST_OCTETS = 255  # of a whole name on the wire, RFC 1035 section 2.3.4
_LENGTHS = {length: bytes((length,)) for length in range(1, 64)}
_OCTETS = [bytes((len(str(octet)),)) + str(octet).encode() for octet in range(256)]  # as labels
_NIBBLES = [b"\1%x\1%x" % (octet & 15, octet >> 4) for octet in range(256)]  # two labels, the lower half first
_IPV6_OCTETS = 2 * 32 + 10  # of the reverse name of an IPv6 address
_MOST_BELOW = 3
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)


def is_label(text: str) -> bool:
    """Whether a text can stand as one label: letters, digits, hyphens and underscores, 1 to 63 of them."""
    return _LABEL.fullmatch(text) is not None


def to_wire(name: str) -> bytes:
    """Give a name's wire form. Raises `NameInvalid` for empty or over-long labels and names, and for non-ASCII."""
    text = name.removesuffix(".").lower()
    if not text:
        return ROOT
    try:
        labels = text.encode("ascii").split(b".")
    except UnicodeEncodeError:
        raise NameInvalid(f"{name!r} is no domain name: it has letters outside ASCII; write it in Punycode") from None
    try:
        wire = b"".join([_LENGTHS[len(label)] + label for label in labels]) + ROOT
    except KeyError:
        raise NameInvalid(f"{name!r} is no domain name: every label has 1 to 63 letters") from None
    check_length(wire)
    return wire


def label(text: str) -> bytes:
    """Give one label on the wire; the text is one that `is_label` accepts, in lower case."""
    return _LENGTHS[len(text)] + text.encode()


def check_length(wire: bytes) -> None:
    """Raise `NameInvalid` where a wire name is longer than the protocol allows."""
    if len(wire) > MOST_OCTETS:
        raise NameInvalid(f"{to_text(wire)!r} is no domain name: it takes {len(wire)} octets of {MOST_OCTETS}")


def to_text(wire: bytes) -> str:
    """Give a wire name as text, for people: odd octets are escaped as in master files (RFC 1035 section 5.1)."""
    return ".".join(_escaped(label) for label in labels(wire)) or "."


def labels(wire: bytes) -> Iterator[bytes]:
    """Go through the labels of a wire name, without the root."""
    at = 0
    while length := wire[at]:
        yield wire[at + 1 : at + 1 + length]
        at += length + 1


def parent(wire: bytes) -> bytes:
    """Give the name without its first label; the root is its own parent."""
    return wire[wire[0] + 1 :] if wire[0] else wire


def check_hostname(text: str) -> None:
    """Raise `NameInvalid` unless a text is a domain name made of ordinary labels and not an address."""
    try:
        IPv4Address(text)
    except AddressValueError:
        pass
    else:
        raise NameInvalid(f"{text!r} is an address, not a name")
    to_wire(text)
    if not text.removesuffix(".") or not all(is_label(label) for label in text.removesuffix(".").split(".")):
        raise NameInvalid(f"{text!r} is no host name: labels are letters, digits and hyphens")


def dashed(address: bytes) -> str:
    """Give the label that CoreDNS derives from a packed address: `10-0-0-1`, `fd00--1`; never ends in a hyphen."""
    if len(address) == 4:
        return "-".join(map(str, address))
    text = str(IPv6Address(address)).replace(":", "-")
    return f"{text}0" if text.endswith("-") else text


def undashed(label: str) -> Address | None:
    """Give the address a dashed label stands for, or None where it stands for none."""
    try:
        return IPv4Address(label.replace("-", "."))
    except AddressValueError:
        pass
    try:
        address = IPv6Address(label.replace("-", ":"))
    except AddressValueError:
        return None
    return None if address.scope_id else address


def reverse_wire(address: bytes) -> bytes:
    """Give the name below in-addr.arpa or ip6.arpa at which a packed address has its PTR."""
    if len(address) == 4:
        return b"".join([_OCTETS[octet] for octet in address[::-1]]) + b"\7in-addr\4arpa\0"
    return b"".join([_NIBBLES[octet] for octet in address[::-1]]) + b"\3ip6\4arpa\0"


def without_labels_below(name: bytes) -> bytes | None:
    """Give the reverse name of the IPv6 address that a name is one to three labels below of, or None."""
    at = 0
    for _ in range(_MOST_BELOW):
        at += name[at] + 1
        if len(name) - at == _IPV6_OCTETS:
            return name[at:] if name.endswith(b"\3ip6\4arpa\0") else None
    return None


def reverse_zones(network: Network) -> tuple[str, ...]:
    """Give the reverse zones that make up a network: one where the prefix ends at a label, else up to 128."""
    bits = 8 if network.version == 4 else 4
    prefix = -(-network.prefixlen // bits) * bits
    kept = prefix // bits
    zones = network.subnets(new_prefix=prefix)
    return tuple(_last_labels(zone.network_address.reverse_pointer, kept) for zone in zones)


def _last_labels(name: str, count: int) -> str:
    return ".".join(name.split(".")[-count - 2 :])


def _escaped(label: bytes) -> str:
    return "".join(chr(c) if 0x21 <= c <= 0x7E and c not in b'.\\"' else f"\\{c:03d}" for c in label)
