"""What the ipset tool reads: the sets of one family, whole or as differences. Pure.

The tool does what pyroute2's class `ipset_msg` leaves to its user: it agrees with the kernel on the revision of a set's
type, and packs many elements into a message. Measured, an element costs 150 to 200 us to pack with pyroute2, so 100,000
take 15 s or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, summarize_address_range

from kproxy.backends.ipvs import layout
from kproxy.backends.ipvs.compile import Server
from kproxy.rules.fields import PROTOCOLS, fields
from kproxy.rules.model import Key, Set, Value

_NAMES = {number: name for name, number in PROTOCOLS.items()}
_FAMILY = {4: "inet", 6: "inet6"}
_ROOM = 1 << 20  # elements at most
Elements = Mapping[str, Mapping[bytes, Value]]


def create(family: int, suffix: str = "") -> Iterator[str]:
    """Make every set that is not there."""
    for declared in layout.sets().values():
        name = layout.kernel_name(declared.name, family) + suffix
        extra = " skbinfo" if declared.data else ""
        yield f"create {name} {_kind(declared)} family {_FAMILY[family]} maxelem {_ROOM}{extra}"


def replace(family: int, elements: Elements) -> Iterator[str]:
    """Fill sets beside the present ones and put them in their place, so that none is ever half full."""
    yield from create(family)
    yield from create(family, "-new")
    for declared in layout.sets().values():
        name = layout.kernel_name(declared.name, family)
        yield f"flush {name}-new"
        for key, value in elements.get(declared.name, {}).items():
            yield from (f"add {name}-new {words}" for words in _words(declared, key, value, family))
        yield f"swap {name}-new {name}"
        yield f"destroy {name}-new"


def update(family: int, old: Elements, new: Elements) -> Iterator[str]:
    """Write what is to be added and, after that, taken away."""
    yield from _changes("add", family, new, old)
    yield from _changes("del", family, old, new)


def served(saved: str) -> Iterator[Server]:
    """Read from what `ipset save` writes which virtual servers by address are ours: their places are in our sets."""
    ours = {layout.kernel_name(name, f): f for name in layout.SERVED for f in _FAMILY}
    for line in saved.splitlines():
        verb, _, rest = line.partition(" ")
        name, _, place = rest.partition(" ")
        if verb == "add" and name in ours:
            address, _, spot = place.partition(",")
            protocol, _, port = spot.partition(":")
            yield Server(ours[name], PROTOCOLS[protocol], ip_address(address).packed, int(port))


def destroy(family: int) -> Iterator[str]:
    """Remove every set."""
    yield from (f"destroy {layout.kernel_name(name, family)}" for name in layout.sets())


def _changes(verb: str, family: int, these: Elements, others: Elements) -> Iterator[str]:
    for name, elements in these.items():
        declared, known = layout.sets()[name], others.get(name, {})
        for key, value in elements.items():
            if known.get(key, ...) != value and (verb == "add" or key not in known):
                words = _words(declared, key, value if verb == "add" else None, family)
                yield from (f"{verb} {layout.kernel_name(name, family)} {one}" for one in words)


def _kind(declared: Set) -> str:
    if len(declared.key) == 1:
        return "hash:ip"
    return "hash:ip,port" + ("" if len(declared.key) == 2 else ",net" if declared.interval else ",ip")


def _words(declared: Set, key: bytes, value: Value, family: int) -> Iterable[str]:
    if declared.interval:
        yield from _spans(declared.key, key, family)
        return
    mark = f" skbmark {int.from_bytes(value, 'big'):#x}" if isinstance(value, bytes) else ""
    yield ",".join(_field(part) for part in fields(declared.key, key, family)) + mark


def _spans(key: Key, bounds: bytes, family: int) -> Iterator[str]:
    half = len(bounds) // 2
    *place, low = fields(key, bounds[:half], family)
    *_, high = fields(key, bounds[half:], family)
    assert not isinstance(low, int)
    assert not isinstance(high, int)
    for network in summarize_address_range(low, high):
        # ipset refuses a network of all addresses: two halves say the same
        parts = network.subnets() if network.prefixlen == 0 else (network,)
        yield from (",".join((*map(_field, place), str(part))) for part in parts)


def _field(value: IPv4Address | IPv6Address | int) -> str:
    return f"{_NAMES[value >> 16]}:{value & 0xFFFF}" if isinstance(value, int) else str(value)
