"""How long to wait after a failure: a little, then twice as long each time, and never all clients at one moment."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds, from `first` to `longest`, each stretched by up to `jitter()` (0 to 1) of itself."""

    def __init__(self, first: float, longest: float, jitter: Callable[[], float] = random.random) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._next = first

    def failed(self, least: float = 0.0) -> float:
        """Give the delay after one more failure; `least` is what the other side asked for."""
        delay = max(self._next, least)
        self._next = min(self._next * 2, self._longest)
        return delay * (1 + self._jitter())

    def reset(self) -> None:
        """Things went well for a while: begin with the shortest delay again."""
        self._next = self._first
