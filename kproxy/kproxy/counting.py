"""Puts the rules that count traffic in place and reads them (`kproxy.traffic` has them), beside the sync of a proxy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from threading import Lock

from kproxy import traffic
from kproxy.backends.nftables import encode, observe
from kproxy.backends.nftables.encode import Operation
from kproxy.backends.nftables.kernel import Kernel
from kproxy.errors import AlreadyThere, ProxyError
from kproxy.host import Host
from kproxy.longlived import uncollected
from kproxy.model import Counted, Place
from kproxy.netlink import text
from kproxy.sync import Done
from kproxy.totals import Owners, Totals

log = logging.getLogger(__name__)

_FAMILIES = (4, 6)
_COUNTED = ("nftables", "iptables")  # by the conntrack entries that they make


def counts(mode: str) -> bool:
    """Whether connections in this mode, or a flavour of it, are such as can be counted."""
    return mode.partition("-")[0] in _COUNTED


def clear(host: Host) -> None:
    """Leave no trace; where nf_tables cannot be had, there is none."""
    with suppress(ProxyError, OSError), closing(Kernel(host)) as kernel:
        there = [family for family in _FAMILIES if observe.comments(kernel.dump, family, traffic.TABLE)]
        kernel.commit([encode.delete_table(family, traffic.TABLE) for family in there])


class Counting:
    """Knows which Service port a place belongs to, and adds up what the kernel has counted there.

    `take` and `text` are for the event loop; the kernel is read, and the text is written, in a thread.
    """

    def __init__(
        self, host: Host, *, endpoints: bool = True, told: Callable[[], Iterable[Counted]] | None = None
    ) -> None:
        self._host = host
        self._told = told  # by a mode that counts by itself; else the packet filter does
        self._endpoints = endpoints
        self._owners = Owners()
        self._known = False  # before the first full sync nobody can say whose the counters are
        self._reader = traffic.Reader()
        self._totals = Totals()
        self._reading = asyncio.Lock()
        self._making = Lock()
        self._generation = 0  # of the packet filter when the rules were last seen to be right
        self._missing = ""

    def take(self, done: Done) -> None:
        """Follow a finished sync."""
        if done.full:
            self._owners.keep(done.wanted)
            self._ensure()
            self._known = True
        for key, owed in done.wanted.items():
            self._owners.put(key, {frontend.place: frontend.origin for frontend in owed.frontends})

    async def text(self) -> str:
        """Write the totals for Prometheus; nothing where the kernel cannot count. Raises ProxyError or OSError."""
        async with self._reading:
            if not self._known:
                return ""
            origins, changed = dict(self._owners.origins), frozenset(self._owners.changed)
            self._owners.changed.clear()
            try:
                read = await asyncio.to_thread(self._read, origins, changed)
            except (ProxyError, OSError):
                self._owners.changed |= changed
                raise
            if read is None:
                self._owners.changed |= changed
            return read or ""

    def _read(self, origins: Mapping[Place, str], changed: frozenset[Place]) -> str | None:
        """Read and write; None where the kernel cannot count."""
        with uncollected():  # looking through all that is known would hold up the event loop, too
            if self._told is not None:
                self._totals.take(self._told(), origins, changed)
            else:
                self._ensure(closely=True)
                if self._missing:
                    return None
                with closing(Kernel(self._host)) as kernel:
                    self._totals.take(_counted(kernel, self._reader), origins, changed)
            return "".join(f"{line}\n" for line in self._totals.lines(endpoints=self._endpoints))

    def _ensure(self, *, closely: bool = False) -> None:
        """Put the rules in place where they are not; what they have counted stays."""
        if self._told is not None:
            return
        try:
            with self._making, closing(Kernel(self._host)) as kernel:
                if not closely:
                    _make(kernel)
                elif (generation := kernel.generation()) != self._generation:
                    _make(kernel)
                    self._generation = 0 if _mend(kernel) else generation
            self._missing = ""
        except (ProxyError, OSError) as error:
            if not self._missing:
                log.warning("traffic of Services is not counted: %s", error)
            self._missing = str(error)


def _make(kernel: Kernel) -> None:
    """Make the tables that are missing, or are another version's."""
    for family in _FAMILIES:
        there = observe.comments(kernel.dump, family, traffic.TABLE)
        if there != [traffic.fingerprint(family)]:
            gone = [encode.delete_table(family, traffic.TABLE)] if there else []
            with suppress(AlreadyThere):  # another proxy was quicker
                kernel.commit([*gone, *traffic.steps(family)])


def _mend(kernel: Kernel) -> bool:
    """Put rules back that somebody else has changed; returns whether there were any."""
    mended = False
    for family in _FAMILIES:
        wanted = traffic.table(family)
        there = observe.observe(kernel.dump, family, traffic.TABLE, wanted.sets)
        steps = list(observe.differences(there, wanted))
        kernel.commit(steps)
        mended |= bool(steps)
    return mended


def _counted(kernel: Kernel, reader: traffic.Reader) -> Iterator[Counted]:
    """Read every element."""
    for family in _FAMILIES:
        for name in traffic.sets():
            listed = kernel.dump(Operation.GET_ELEMENTS, family, text(1, traffic.TABLE) + text(2, name))
            yield from reader.read(listed, name, family)
