"""How long this server's own health page takes to answer, asked once a second: what is overloaded is slow there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic

from kdns.histogram import Histogram

_PERIOD = 1.0  # seconds
_PATIENCE = 5.0  # seconds
_BUCKETS = tuple(0.00025 * 10**n for n in range(5))  # seconds: CoreDNS' buckets
_NAME = "coredns_health_request"


class Pulse:
    """Asks the page at an address and port, and counts. `clock` gives seconds."""

    def __init__(self, address: str, port: int, clock: Callable[[], float] = monotonic) -> None:
        self._place = address, port
        self._clock = clock
        self.seconds = Histogram(_BUCKETS)
        self.failures = 0

    async def run(self) -> None:
        """Ask every second until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            await self.feel()

    async def feel(self) -> None:
        """Ask once."""
        started = self._clock()
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._asked()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            status = b""
        self.failures += b" 200 " not in status
        self.seconds.observe(self._clock() - started)

    async def _asked(self) -> bytes:
        reader, writer = await asyncio.open_connection(*self._place)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return await reader.readuntil(b"\r\n")
        finally:
            writer.close()

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Give (name, kind, line) of the numbers."""
        name = f"{_NAME}_duration_seconds"
        yield from ((name, "histogram", line) for line in self.seconds.lines(name, ()))
        name = f"{_NAME}_failures_total"
        yield name, "counter", f"{name} {self.failures}"
