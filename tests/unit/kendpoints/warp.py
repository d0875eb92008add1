"""An event loop whose time is no clock's: when nothing is left to do, the next moment at which something is due is now.

For what runs in one process and waits for nothing else: it never really waits, and a busy machine changes nothing.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _NoWaiting(selectors.DefaultSelector):
    """Never blocks while there is a next moment, and counts the time that it would have blocked."""

    skipped = 0.0  # seconds, in all

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout:
            self.skipped += timeout
        return ready


class WarpLoop(asyncio.SelectorEventLoop):
    """A loop that skips every wait."""

    def __init__(self) -> None:
        self._warp = _NoWaiting()
        super().__init__(self._warp)

    def time(self) -> float:
        """Give the loop's moment, in seconds."""
        return self._warp.skipped
