"""The iptables backend put together: compile, compare, commit, and look after what is there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from kproxy.backends.apart import Apart
from kproxy.backends.iptables import changes
from kproxy.backends.iptables.changes import FAMILIES, Change, InPlace
from kproxy.backends.iptables.compile import Compiled, compile_service
from kproxy.backends.iptables.tool import Flavour, Tool
from kproxy.errors import CommitFailed, ProxyError
from kproxy.host import Host, ThisHost
from kproxy.model import Duties, NodeDuties
from kproxy.rules.evaluate import Outcome, Packet, evaluate
from kproxy.rules.model import Ruleset

_LONGEST_PAUSE = 4.0  # seconds between two looks for somebody else's hand
_PROBE = """*nat
:KUBE-PROXY-PROBE - [0:0]
-A KUBE-PROXY-PROBE -m addrtype --dst-type LOCAL -m statistic --mode random --probability 0.5 -j RETURN
-A KUBE-PROXY-PROBE -m comment --comment probe -j MARK --set-xmark 0x4000/0x4000
-F KUBE-PROXY-PROBE
-X KUBE-PROXY-PROBE
COMMIT
"""


class Iptables:
    """See `kproxy.backends.Backend`. Each of the tables filter and nat is committed in one step, filter first."""

    name: ClassVar[str] = "iptables"
    tracked: ClassVar[bool] = True
    flavour: ClassVar[Flavour] = Flavour.HOST

    def __init__(self, host: Host | None) -> None:
        self.host: Host | None = host or ThisHost()
        self._tool = Tool(self.host, self.flavour)
        self._place = InPlace(NodeDuties())
        self._apart = Apart()
        self._digest = ""  # of the listing since the last commit, once somebody has asked
        self._next_look = 0.0
        self._written: Counter[str] = Counter()  # rules of the last sync, by table

    def rules(self) -> Mapping[str, tuple[int, int]]:
        """See `kproxy.backends.Ruled`."""
        return {table: (count, self._written[table]) for table, count in sorted(self._place.rules.items())}

    def missing(self) -> str | None:
        """Make and unmake a chain, to see whether the tool and the kernel let us."""
        try:
            for family in FAMILIES:
                self._tool.restore(family, _PROBE)
        except (ProxyError, OSError) as error:
            return str(error)
        return None

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """See `Backend.resync`. Connections notice nothing: they live in conntrack, not in the rules."""
        self._written.clear()
        place = InPlace(node)
        for key, duties in services.items():
            if duties.frontends and (made := self._apart.work_out(partial(compile_service, node=node), duties)):
                place.take([Change(key, None, made)])
        try:
            await self._replace(place)
        except CommitFailed:
            await self._replace(InPlace(node))  # fails in its turn where no Service is to blame
            return {**self._apart.faults(services), **await self._carry_out(dict(place.services))}
        return self._apart.faults(services)

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """See `Backend.commit`."""
        self._written.clear()
        new: dict[str, Compiled | None] = {}
        for key, duties in services.items():
            new[key] = None
            if duties is not None and duties.frontends:
                new[key] = self._apart.work_out(partial(compile_service, node=self._place.node), duties)
        return {**self._apart.faults(services), **await self._carry_out(new)}

    async def drifted(self) -> bool:
        """See `Backend.drifted`. Listing large tables takes long, so it is not done at every look."""
        started = time.monotonic()
        if started < self._next_look:
            return False
        listings = {family: await asyncio.to_thread(self._tool.save, family) for family in FAMILIES}
        before, self._digest = self._digest, changes.digest(listings.values())
        self._next_look = started + min(_LONGEST_PAUSE, 10 * (time.monotonic() - started))
        if before:
            return before != self._digest
        return any(changes.counts(listings[f]) != self._place.counts(f) for f in FAMILIES)

    def ruleset(self) -> Ruleset:
        """Give the rules in place."""
        return self._place.ruleset()

    def evaluate(self, packet: Packet) -> Outcome:
        """See `Backend.evaluate`."""
        return evaluate(self.ruleset(), packet)

    async def clear(self) -> None:
        """See `Backend.clear`."""
        for family in FAMILIES:
            await self._run(family, changes.nothing(changes.read(self._tool.save(family))))
        self._place = InPlace(self._place.node)

    def close(self) -> None:
        """See `Backend.close`."""

    async def _replace(self, place: InPlace) -> None:
        """Write everything, whatever is there."""
        for family in FAMILIES:
            there = changes.read(await asyncio.to_thread(self._tool.save, family))
            await self._run(family, changes.everything(place.table(family), there))
        self._place = place

    async def _carry_out(self, new: Mapping[str, Compiled | None]) -> dict[str, str]:
        """Commit changes, halving them until those that the tool refuses stand alone; returns these."""
        pending = [self._place.change(key, compiled) for key, compiled in new.items()]
        try:
            for family in FAMILIES:
                await self._run(family, changes.update(pending, family))
        except CommitFailed as refusal:
            await self._replace(self._place)  # a table may be done and another not; fails where nobody is to blame
            if len(pending) == 1:
                return {pending[0].key: str(refusal)}
            half = len(pending) // 2
            first = await self._carry_out({c.key: c.new for c in pending[:half]})
            return first | await self._carry_out({c.key: c.new for c in pending[half:]})
        self._place.take(pending)
        return {}

    async def _run(self, family: int, text: str) -> None:
        if text:
            self._digest, self._next_look = "", 0.0
            await asyncio.to_thread(self._tool.restore, family, text)
            self._written += changes.rules_in(text)


class Legacy(Iptables):
    """The flavour with kernel tables of its own (x_tables)."""

    name: ClassVar[str] = "iptables-legacy"
    flavour: ClassVar[Flavour] = Flavour.LEGACY


class Nft(Iptables):
    """The flavour that writes nf_tables."""

    name: ClassVar[str] = "iptables-nft"
    flavour: ClassVar[Flavour] = Flavour.NFT
