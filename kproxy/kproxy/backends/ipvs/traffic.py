"""Packets and bytes of virtual servers and their endpoints, as IPVS counts them by itself.

A reading asks for all virtual servers at once, and for the endpoints of those only that have carried something since
the reading before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from ipaddress import ip_address

from kapi.network import Protocol
from kproxy.backends.ipvs.compile import Server, Virtual
from kproxy.backends.ipvs.kernel import Ipvs
from kproxy.backends.ipvs.wire import Amounts, Real
from kproxy.host import Host
from kproxy.model import Counted, Place, Target
from kproxy.rules.fields import PROTOCOLS

_NAMES = {number: Protocol(name.upper()) for name, number in PROTOCOLS.items()}


class Traffic:
    """Reads what one host's IPVS has counted. One reading at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._read: dict[Server, tuple[Amounts, list[Real]]] = {}

    def read(self, virtuals: Mapping[Server, Virtual]) -> Iterator[Counted]:
        """Tell what went through these virtual servers. Raises OSError, and Unavailable where there is no IPVS."""
        with closing(Ipvs(self._host)) as kernel:
            there = kernel.services()
            self._read = {
                server: self._anew(kernel, server, there[server].amounts) for server in virtuals if server in there
            }
        called = {virtual.origin: _place(server) for server, virtual in virtuals.items() if not server.mark}
        summed: defaultdict[tuple[Place, Target, str], list[int]] = defaultdict(lambda: [0, 0])
        for server, (_, endpoints) in self._read.items():
            place = called.get(virtuals[server].origin) if server.mark else _place(server)
            if place is None:
                continue
            for real in endpoints:
                for direction, *more in (("in", *real.amounts[:2]), ("out", *real.amounts[2:])):
                    amount = summed[place, real.target, direction]
                    amount[:] = (a + b for a, b in zip(amount, more, strict=True))
        for (place, target, direction), (packets, size) in summed.items():
            if packets:
                yield Counted(place, target, direction, packets, size)

    def _anew(self, kernel: Ipvs, server: Server, amounts: Amounts) -> tuple[Amounts, list[Real]]:
        before = self._read.get(server, (Amounts(), []))
        return before if before[0] == amounts else (amounts, kernel.destinations(server))


def _place(server: Server) -> Place:
    return Place(server.family, ip_address(server.address), _NAMES[server.protocol], server.port)
