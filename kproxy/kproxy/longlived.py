"""What is known of the cluster lives long: Python's cyclic garbage collector need not look through it again and again.

It counts how many objects are made less those that go. A proxy makes about as many as it lets go, so that hundreds of
thousands of new ones can gather before they are looked through all at once, which takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SERVICES = 100  # worked out: some ten thousand objects, looked through in about a millisecond
_NEVER = 1 << 30
_QUIET = 5.0  # seconds without a change after which the next is not expected at once
_PAUSE = 60.0  # seconds at least between two times that everything is looked through
_SHARE = 1000  # of the time may go into it: one part in so many
_PATIENCE = 10  # pauses after which it is done though there was no quiet


@contextmanager
def uncollected() -> Iterator[None]:
    """Do without the collector while hundreds of thousands of objects are made, hardly any of them garbage.

    At 10,000 Services it would walk through all of them again and again, hold up the event loop for a second at a
    time, and make a full sync take twice as long.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _set_aside()
        if enabled:
            gc.enable()


class LongLived:
    """Chooses when to look for garbage, for a process that is a proxy and little else: it concerns all of its objects.

    What is new is looked through often, everything in quiet moments. Nothing is set aside for good.
    """

    def __init__(self) -> None:
        self._services = 0  # since what is new was looked through
        self._lately = 0  # since `rest` was last called
        self._due = self._overdue = 0.0
        self._started = False

    def start(self, now: float) -> None:
        """Leave all that is there now to `rest`, and from now on what comes and stays."""
        self._started = True
        self._pause(now, _PAUSE)
        first, second, _ = gc.get_threshold()
        gc.set_threshold(first, second, _NEVER)
        _set_aside()

    def note(self, services: int) -> None:
        """Take note of Services worked out anew; often enough, look through what is new."""
        if not self._started:
            return
        self._services += services
        self._lately += services
        if self._services >= _SERVICES:
            gc.collect(1)
            self._services = 0

    async def keep(self) -> None:
        """Start, and rest now and then, for ever."""
        self.start(time.monotonic())
        while True:
            await asyncio.sleep(_QUIET)
            self.rest(time.monotonic())

    def rest(self, now: float) -> None:
        """Look through everything if it is time, and nothing has changed since this was last called.

        It takes the longer the more is known, and nothing else can be done meanwhile: the pauses grow with it. `now` is
        in seconds, of a clock that never jumps.
        """
        quiet, self._lately = not self._lately, 0
        if now < (self._due if quiet else self._overdue):
            return
        began = time.perf_counter()
        gc.collect()
        self._pause(now, max(_PAUSE, (time.perf_counter() - began) * _SHARE))

    def _pause(self, now: float, seconds: float) -> None:
        self._due, self._overdue = now + seconds, now + _PATIENCE * seconds


def _set_aside() -> None:
    """Make everything old, so that only a search through everything comes by it; costs nothing, however much it is."""
    gc.freeze()
    gc.unfreeze()
