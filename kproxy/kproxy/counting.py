"""Puts the rules that count traffic in place and reads them (`kproxy.traffic` has them), beside the sync of a proxy."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

from kproxy import traffic
from kproxy.backends.nftables import encode, observe
from kproxy.backends.nftables.encode import Operation
from kproxy.backends.nftables.kernel import Kernel
from kproxy.errors import ProxyError
from kproxy.host import Host
from kproxy.model import Place
from kproxy.netlink import text
from kproxy.sync import Done

log = logging.getLogger(__name__)

_FAMILIES = (4, 6)
_COUNTED = ("nftables", "iptables")  # by the conntrack entries that they make


def counts(mode: str) -> bool:
    """Whether connections in this mode, or a flavour of it, are such as can be counted."""
    return mode.partition("-")[0] in _COUNTED


def clear(host: Host) -> None:
    """Leave no trace. Raises ProxyError or OSError."""
    with closing(Kernel(host)) as kernel:
        there = [family for family in _FAMILIES if observe.comments(kernel.dump, family, traffic.TABLE)]
        kernel.commit([encode.delete_table(family, traffic.TABLE) for family in there])


class Counting:
    """Knows which Service port a place belongs to, and what the kernel has counted there."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._places: dict[str, tuple[Place, ...]] = {}  # by Service
        self._origins: dict[Place, str] = {}
        self._missing = ""

    def take(self, done: Done) -> None:
        """Follow a finished sync."""
        if done.full:
            self._places.clear()
            self._origins.clear()
            self._ensure()
        for key, owed in done.wanted.items():
            for place in self._places.pop(key, ()):
                self._origins.pop(place, None)
            mine = {frontend.place: frontend.origin for frontend in owed.frontends}
            if mine:
                self._places[key] = tuple(mine)
                self._origins |= mine

    def lines(self) -> Iterator[str]:
        """Write the totals for Prometheus; nothing where the kernel cannot count."""
        self._ensure()
        if self._missing:
            return iter(())
        origins = dict(self._origins)
        with closing(Kernel(self._host)) as kernel:
            counted = [
                one
                for family in _FAMILIES
                for name in traffic.sets()
                for one in traffic.read(
                    kernel.dump(Operation.GET_ELEMENTS, family, text(1, traffic.TABLE) + text(2, name)), name, family
                )
            ]
        return traffic.lines(counted, origins)

    def _ensure(self) -> None:
        """Put the rules in place where they are not; what they have counted stays."""
        try:
            with closing(Kernel(self._host)) as kernel:
                for family in _FAMILIES:
                    there = observe.comments(kernel.dump, family, traffic.TABLE)
                    if there != [traffic.fingerprint(family)]:
                        gone = [encode.delete_table(family, traffic.TABLE)] if there else []
                        kernel.commit([*gone, *traffic.steps(family)])
            self._missing = ""
        except (ProxyError, OSError) as error:
            if not self._missing:
                log.warning("traffic of Services is not counted: %s", error)
            self._missing = str(error)
