"""The nftables backend put together: compile, compare, commit, and look after what is there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Protocol
from zlib import crc32

from kproxy.backends.apart import Apart
from kproxy.backends.nftables import encode, observe, trace
from kproxy.backends.nftables.changes import FAMILIES, Change, InPlace, batch, foundation
from kproxy.backends.nftables.compile import Compiled, compile_service
from kproxy.backends.nftables.encode import Operation, Step
from kproxy.backends.nftables.kernel import Kernel
from kproxy.backends.nftables.layout import TABLE
from kproxy.errors import CommitFailed, ProxyError, Refused
from kproxy.host import Host, ThisHost
from kproxy.model import Duties, NodeDuties
from kproxy.netlink import Reply
from kproxy.rules.evaluate import Outcome, Packet, evaluate
from kproxy.rules.model import Ruleset

_QUICK = 200  # messages the kernel takes in about a millisecond: not worth a thread
_FEW = 64  # Services compared in about a millisecond: not worth a thread


class Filter(Protocol):
    """A packet filter that speaks nf_tables: the kernel's, or one in memory."""

    def commit(self, steps: Sequence[Step]) -> None:
        """Make all steps happen, or none. Raises Refused, CommitFailed, Unavailable, or OSError."""
        ...

    def dump(self, operation: Operation, family: int, *parts: bytes) -> list[Reply]:
        """List objects of one kind."""
        ...

    def generation(self) -> int:
        """Tell the number of the present rules."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class Nftables:
    """See `kproxy.backends.Backend`."""

    name: ClassVar[str] = "nftables"
    tracked: ClassVar[bool] = True

    def __init__(self, host: Host | None, rules: Filter | None = None) -> None:
        self.host = host
        self._filter: Filter = rules or Kernel(host or ThisHost())
        self._place = InPlace(NodeDuties())
        self._apart = Apart()
        self._generation = 0

    def missing(self) -> str | None:
        """Make and unmake an empty table in one transaction, to see whether the kernel lets us."""
        probe = (encode.new_table(4, f"{TABLE}-probe", ""), encode.delete_table(4, f"{TABLE}-probe"))
        try:
            self._filter.commit(probe)
        except (ProxyError, OSError) as error:
            return str(error)
        return None

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """See `Backend.resync`. What is there already stays; connections notice nothing."""
        comment = _fingerprint(node)
        found = {family: observe.comments(self._filter.dump, family, TABLE) for family in FAMILIES}
        compiled: list[Compiled] = []
        for position, duties in enumerate(services.values()):
            if duties.frontends and (made := self._apart.work_out(partial(compile_service, node=node), duties)):
                compiled.append(made)
            if not position % _FEW:
                await asyncio.sleep(0)  # others on the event loop have their turn
        if all(found[family] == [comment] for family in FAMILIES):
            refused = await self._reuse(node, compiled)
        else:
            refused = await self._rebuild(node, compiled, [f for f in FAMILIES if found[f]], comment)
        self._generation = self._filter.generation()
        return {**self._apart.faults(services), **refused}

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """See `Backend.commit`."""
        new: dict[str, Compiled | None] = {}
        for key, duties in services.items():
            new[key] = None
            if duties is not None and duties.frontends:
                compile_ = partial(compile_service, node=self._place.node, before=self._place.services.get(key))
                new[key] = self._apart.work_out(compile_, duties)
        return {**self._apart.faults(services), **await self._carry_out(new)}

    async def drifted(self) -> bool:
        """See `Backend.drifted`. The number of the rules tells at once when nobody has touched any."""
        generation = self._filter.generation()
        if generation == self._generation:
            return False
        if await asyncio.to_thread(self._differs):
            return True
        self._generation = generation
        return False

    def _differs(self) -> bool:
        """Compare all that is in place with all that should be."""
        for table in self._place.ruleset().tables:
            if not observe.comments(self._filter.dump, table.family, TABLE):
                return True
            there = observe.observe(self._filter.dump, table.family, TABLE, table.sets)
            if any(True for _ in observe.differences(there, table)):
                return True
        return False

    def ruleset(self) -> Ruleset:
        """Give the rules in place."""
        return self._place.ruleset()

    def evaluate(self, packet: Packet) -> Outcome:
        """See `Backend.evaluate`."""
        return evaluate(self.ruleset(), packet)

    async def clear(self) -> None:
        """See `Backend.clear`."""
        await self._send(
            [
                encode.delete_table(family, table)
                for table in (TABLE, trace.TABLE)  # the second, where somebody who watched was killed
                for family in FAMILIES
                if observe.comments(self._filter.dump, family, table)
            ]
        )
        self._place = InPlace(self._place.node)

    def close(self) -> None:
        """See `Backend.close`."""
        self._filter.close()

    async def _rebuild(
        self, node: NodeDuties, compiled: Iterable[Compiled], there: Iterable[int], comment: str
    ) -> Mapping[str, str]:
        """Replace whatever is there, in one transaction where the socket can hold it."""
        self._place = InPlace(node)
        first = [encode.delete_table(family, TABLE) for family in there]
        first += foundation(node, comment)
        return await self._carry_out({c.key: c for c in compiled}, first)

    async def _reuse(self, node: NodeDuties, compiled: Iterable[Compiled]) -> Mapping[str, str]:
        """Write only what differs from what is there."""
        place = InPlace(node)
        try:
            await self._send(await asyncio.to_thread(self._missing, place, compiled))
        except (CommitFailed, OSError):
            # Something there stands in the way (an element of somebody else's): begin anew.
            return await self._rebuild(node, compiled, FAMILIES, _fingerprint(node))
        self._place = place
        return {}

    def _missing(self, place: InPlace, compiled: Iterable[Compiled]) -> list[Step]:
        """Fill an empty place, and write what leads there from what is in the kernel."""
        place.take(place.change(c.key, c) for c in compiled)
        steps: list[Step] = []
        for table in place.ruleset().tables:
            there = observe.observe(self._filter.dump, table.family, TABLE, table.sets)
            steps += observe.differences(there, table)
        return steps

    async def _carry_out(self, new: Mapping[str, Compiled | None], first: Sequence[Step] = ()) -> Mapping[str, str]:
        """Commit changes, leaving out the Services that the kernel refuses; returns these."""
        refused: dict[str, str] = {}
        while True:
            changes = [self._place.change(k, compiled) for k, compiled in new.items() if k not in refused]
            if len(changes) < _FEW:
                steps = [*first, *batch(self._place, changes)]
            else:
                steps = [*first, *await asyncio.to_thread(list, batch(self._place, changes))]
            try:
                await self._send(steps)
            except Refused as refusal:
                refused.update(refusal.causes)
                continue
            except OSError as error:
                if error.errno != errno.EMSGSIZE or len(changes) < 2:
                    raise CommitFailed(f"the kernel did not take the rules: {error}") from error
                return refused | await self._halves(changes, first)
            if len(changes) < _FEW:
                self._place.take(changes)
            else:
                await asyncio.to_thread(self._place.take, changes)
            return refused

    async def _halves(self, changes: Sequence[Change], first: Sequence[Step]) -> dict[str, str]:
        """Commit in two steps what the socket cannot hold at once, each Service whole."""
        half = len(changes) // 2
        refused = dict(await self._carry_out({c.key: c.new for c in changes[:half]}, first))
        return refused | dict(await self._carry_out({c.key: c.new for c in changes[half:]}))

    async def _send(self, steps: Sequence[Step]) -> None:
        if len(steps) < _QUICK:
            self._filter.commit(steps)
        else:
            await asyncio.to_thread(self._filter.commit, steps)
        self._generation += bool(steps)


def _fingerprint(node: NodeDuties) -> str:
    """Name the layout: a table with the same words was made by the same rules."""
    written = b"".join(step.body for step in foundation(node, ""))
    return f"kproxy {crc32(written):08x}"
