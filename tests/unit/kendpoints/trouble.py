"""A way to the API server on which things go wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kapi.errors import Conflict, ConnectionLost, Forbidden
from kapi.transport import Request, Transport

Json = dict[str, Any]

WATCHED = ("services", "pods", "nodes", "endpointslices", "endpoints")
STALE = "a write decided on a cache that stands still"
CONFLICT = "a write that somebody else came before"
REFUSED = "a write refused"
LOST = "a write whose answer was lost"
BEFORE, AFTER = "a crash before a write was done", "a crash after a write was done"


class Troubled:
    """A transport whose watches stand still while they are held, so that the caches behind them grow stale.

    The next `refusals` writes are refused, and the answers of the `losses` after them are lost. `writes` lists what was
    sent to change something, `met` counts what went wrong. A write takes some turns of the event loop, so that whoever
    sends it can be ended before the server has done it, and after.
    """

    def __init__(self, inner: Transport, met: Counter[str] | None = None) -> None:
        self._inner = inner
        self._moved = asyncio.Event()
        self._held: frozenset[str] = frozenset()
        self.refusals = 0
        self.losses = 0
        self.writes: list[str] = []
        self.met: Counter[str] = Counter() if met is None else met

    @property
    def held(self) -> frozenset[str]:
        """The watches that stand still."""
        return self._held

    def hold(self, *watched: str) -> None:
        """Let these watches stand still; all of them, when none is named."""
        self._held |= frozenset(watched or WATCHED)

    def flow(self) -> None:
        """Let every watch go on."""
        self._held = frozenset()
        self._moved.set()
        self._moved = asyncio.Event()

    async def send(self, request: Request) -> Json:
        if request.method == "GET":
            return await self._inner.send(request)
        self.writes.append(f"{request.method} {request.path}")
        self.met[STALE] += bool(self._held)
        if self.refusals:
            self.refusals -= 1
            self.met[REFUSED] += 1
            raise Forbidden({"message": "not today"})
        await self._turns(2, BEFORE)
        try:
            reply = await self._inner.send(request)
        except Conflict:
            self.met[CONFLICT] += 1
            raise
        await self._turns(1, AFTER)
        if self.losses:
            self.losses -= 1
            self.met[LOST] += 1
            raise ConnectionLost("the answer was lost")
        return reply

    async def _turns(self, count: int, ended: str) -> None:
        try:
            for _ in range(count):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.met[ended] += 1
            raise

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Json]]:
        async with self._inner.stream(request) as events:
            yield self._slowed(request.path.rpartition("/")[2], events)

    async def close(self) -> None:
        await self._inner.close()

    async def _slowed(self, watched: str, events: AsyncIterator[Json]) -> AsyncIterator[Json]:
        async for event in events:
            while watched in self._held:
                await self._moved.wait()
            yield event
