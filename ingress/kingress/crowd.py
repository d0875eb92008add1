"""How many connections all processes of one ingress have open: each writes its own numbers where all can read them.

Connections of one client are counted in the bucket that its address falls into: a number of fixed size for all clients
there may ever be. Two clients may share a bucket, rarely, for there are many.
"""

from __future__ import annotations

import mmap

_BUCKETS = 1 << 16


class Crowd:
    """Made before the processes are; each then calls `begin` with its own index. A number is written whole."""

    def __init__(self, processes: int = 1) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 8 * processes)).cast("q")
        self._buckets = memoryview(mmap.mmap(-1, 4 * _BUCKETS * processes)).cast("i")  # pages that are used take room
        self._index = 0

    def begin(self, index: int) -> None:
        """Be one of the processes, perhaps in the place of one that died and left its numbers behind."""
        self._index = index
        self._numbers[index] = 0
        for bucket in range(index * _BUCKETS, (index + 1) * _BUCKETS):
            if self._buckets[bucket]:
                self._buckets[bucket] = 0

    def note(self, own: int) -> int:
        """Note that this process now has `own` connections; gives how many all have together."""
        self._numbers[self._index] = own
        return sum(self._numbers)

    def admit(self, client: str) -> int:
        """Count a connection of a client; gives how many it has together."""
        bucket = hash(client) % _BUCKETS  # processes that were forked from one hash alike
        self._buckets[self._index * _BUCKETS + bucket] += 1
        return sum(self._buckets[bucket::_BUCKETS])

    def dismiss(self, client: str) -> None:
        """A connection of a client that was counted has ended."""
        self._buckets[self._index * _BUCKETS + hash(client) % _BUCKETS] -= 1
