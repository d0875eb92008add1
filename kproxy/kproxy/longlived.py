"""What is known of the cluster lives long: Python's cyclic garbage collector need not look through it again and again.

It counts how many objects are made less those that go. A proxy makes about as many as it lets go, so that hundreds of
thousands of new ones can gather before they are looked through all at once, which takes a tenth of a second.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_MANY = 2000
_SERVICES = 100  # worked out: some ten thousand objects, looked through in about a millisecond


@contextmanager
def uncollected() -> Iterator[None]:
    """Do without the collector while hundreds of thousands of objects are made, none of them garbage.

    At 10,000 Services it would walk through all of them again and again, hold up the event loop for a second at a
    time, and make a full sync take twice as long.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class LongLived:
    """Sets aside what a proxy knows, for a process that is a proxy and little else: it concerns all of its objects."""

    def __init__(self) -> None:
        self._started = False
        self._services = 0

    def start(self) -> None:
        """Set aside all that is there now, and from now on what comes."""
        self._started = True
        gc.freeze()

    def note(self, services: int) -> None:
        """Take note of Services worked out anew; often enough, look through what is new and set it aside, too.

        What comes with a whole cluster is not looked through: it would take a second.
        """
        if not self._started:
            return
        self._services += services
        if self._services >= _SERVICES:
            if self._services < _MANY:
                gc.collect(1)
            gc.freeze()
            self._services = 0
