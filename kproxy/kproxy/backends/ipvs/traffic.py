"""Packets and bytes of virtual servers and their endpoints, as IPVS counts them by itself.

The kernel sums its counters up every two seconds. A reading asks for all virtual servers at once, and for the endpoints
of those only that have carried something lately.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address

from kapi.network import Protocol
from kproxy.backends.ipvs.compile import Server, Virtual
from kproxy.backends.ipvs.kernel import Ipvs
from kproxy.backends.ipvs.wire import Amounts, Real
from kproxy.host import Host
from kproxy.model import Counted, Place, Target
from kproxy.rules.fields import PROTOCOLS

_NAMES = {number: Protocol(name.upper()) for name, number in PROTOCOLS.items()}


_SUMMED = 5.0  # seconds after which the counters of endpoints have followed those of their virtual server


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of a virtual server: since when it has carried that much, and its endpoints, with the time."""

    amounts: Amounts
    since: float
    read: float
    endpoints: list[Real]


class Traffic:
    """Reads what one host's IPVS has counted. One reading at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._read: dict[Server, _Reading] = {}

    def read(self, virtuals: Mapping[Server, Virtual]) -> Iterator[Counted]:
        """Tell what went through these virtual servers. Raises OSError, and Unavailable where there is no IPVS."""
        with closing(Ipvs(self._host)) as kernel:
            there = kernel.services()
            self._read = {
                server: self._anew(kernel, server, there[server].amounts) for server in virtuals if server in there
            }
        called = {virtual.origin: _place(server) for server, virtual in virtuals.items() if not server.mark}
        summed: defaultdict[tuple[Place, Target, str], list[int]] = defaultdict(lambda: [0, 0])
        for server, reading in self._read.items():
            place = called.get(virtuals[server].origin) if server.mark else _place(server)
            if place is None:
                continue
            for real in reading.endpoints:
                for direction, *more in (("in", *real.amounts[:2]), ("out", *real.amounts[2:])):
                    amount = summed[place, real.target, direction]
                    amount[:] = (a + b for a, b in zip(amount, more, strict=True))
        for (place, target, direction), (packets, size) in summed.items():
            if packets:
                yield Counted(place, target, direction, packets, size)

    def _anew(self, kernel: Ipvs, server: Server, amounts: Amounts) -> _Reading:
        before, now = self._read.get(server), time.monotonic()
        since = before.since if before and before.amounts == amounts else now
        if before and before.amounts == amounts and before.read - since > _SUMMED:
            return before
        return _Reading(amounts, since, now, kernel.destinations(server))


def _place(server: Server) -> Place:
    return Place(server.family, ip_address(server.address), _NAMES[server.protocol], server.port)
