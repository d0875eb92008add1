"""The name servers of a `resolv.conf` (resolv.conf(5)). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from kapi.network import Address
from kdns.settings import Upstream

_MOST = 15  # CoreDNS' limit for one forward


def upstreams(text: str, own: Iterable[tuple[Address, int]] = ()) -> tuple[Upstream, ...]:
    """Give the servers that a resolv.conf names, in order; lines that make no sense are skipped, as libc does.

    `own` are this server's listening addresses: asking itself would be a loop. An unspecified address in it stands
    for every loopback address.
    """
    found: dict[Upstream, None] = {}
    mine = set(own)
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        address = words[1]
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            continue
        everywhere = ip.is_loopback and any(a.is_unspecified and a.version == ip.version and p == 53 for a, p in mine)
        if not everywhere and (ip, 53) not in mine:
            found[Upstream(address)] = None
    return tuple(found)[:_MOST]
