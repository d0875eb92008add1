"""How many connections all processes of one ingress have open: each writes its own number where all can read it."""

from __future__ import annotations

import mmap


class Crowd:
    """Made before the processes are; each then sets its own `index`. A number is eight bytes, and is written whole."""

    def __init__(self, processes: int = 1) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 8 * processes)).cast("q")
        self.index = 0

    def is_over(self, own: int, limit: int) -> bool:
        """Note how many this process has; gives whether that is too many for all together."""
        self._numbers[self.index] = own
        return sum(self._numbers) > limit

    def set(self, own: int) -> None:
        """Note how many this process has."""
        self._numbers[self.index] = own
