"""What is told of each query that was answered, to those who count or log it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import dnslib

from kdns import names, wire


@dataclass(frozen=True, slots=True)
class Seen:
    """A query and its reply, which plug-in `author` gave.

    `proto` is udp, tcp, tls or https; `family` is 1 for IPv4 and 2 for IPv6 (CoreDNS).
    """

    query: bytes
    reply: bytes
    client: tuple[str, int]
    proto: str
    family: str
    seconds: float
    author: str = ""


class Observer(Protocol):
    """Who wants to know."""

    @property
    def each(self) -> bool:
        """Whether `one` is to be called for every query, since more is wanted than `many` tells."""
        ...

    def one(self, seen: Seen) -> None:
        """Take note of a query."""
        ...

    def many(self, replied: Sequence[tuple[bytes, bytes, str]], seconds: float, family: str) -> None:
        """Take note of queries over UDP, replies, and plug-ins they are from, answered together within `seconds`."""
        ...


_FLAGS = (
    (0x8000, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (0x0100, "rd"),
    (0x0080, "ra"),
    (0x0020, "ad"),
    (0x0010, "cd"),
)


def log_line(seen: Seen, style: str) -> str:
    """Give the line that tells of a query: in the format of CoreDNS' `log`, or as JSON."""
    facts = _facts(seen)
    if style == "json":
        return json.dumps(facts, separators=(",", ":"))
    client = f"[{seen.client[0]}]" if ":" in seen.client[0] else seen.client[0]
    return (
        f'{client}:{seen.client[1]} - {facts["id"]} "{facts["type"]} IN {facts["name"]} {seen.proto} '
        f'{facts["size"]} {str(facts["do"]).lower()} {facts["bufsize"]}" {facts["rcode"]} {facts["flags"]} '
        f"{facts['rsize']} {seen.seconds:.9f}s"
    )


def _facts(seen: Seen) -> dict[str, object]:
    end = seen.query.find(0, wire.HEADER) + 1
    edns = seen.query[end + 4 : end + 15]
    has_edns = edns[:3] == b"\0\0\x29" and len(edns) == 11  # a whole OPT record: what is refused is logged, too
    flags = int.from_bytes(seen.reply[2:4], "big")
    kind = int.from_bytes(seen.query[end : end + 2], "big")
    return {
        "client": seen.client[0],
        "port": seen.client[1],
        "id": int.from_bytes(seen.query[:2], "big"),
        "type": str(dnslib.QTYPE.get(kind)),
        "name": _name(seen.query[wire.HEADER : end]),
        "proto": seen.proto,
        "size": len(seen.query),
        "do": has_edns and bool(edns[7] & 0x80),
        "bufsize": int.from_bytes(edns[3:5], "big") if has_edns else 512,
        "rcode": str(dnslib.RCODE.get(flags & 15)),
        "flags": ",".join(name for bit, name in _FLAGS if flags & bit),
        "rsize": len(seen.reply),
        "seconds": round(seen.seconds, 9),
    }


def _name(wired: bytes) -> str:
    try:
        return f"{names.to_text(wired).removesuffix('.')}."
    except IndexError:
        return "."
