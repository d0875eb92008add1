"""Which endpoints are left alone: what one process of an ingress learns holds for all of them.

Each ejection is written where all processes can read it: a key that says which endpoint of which backend, and until
when. There is room for so many; where two fall into one place, the earlier is known to its own process only.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from kingress.balance import Peer
from kingress.objects import Target

_PLACES = 4096


@dataclass(frozen=True, slots=True)
class _Memory:
    """How often something was written, and for each place a key and the end in seconds of the system's clock."""

    written: memoryview[int]
    keys: memoryview[int]
    ends: memoryview[float]


class Ejections:
    """Made before the processes are. The clock is the system's monotonic one, the same for all processes."""

    def __init__(self) -> None:
        self._memory = _Memory(
            memoryview(mmap.mmap(-1, 8)).cast("q"),
            memoryview(mmap.mmap(-1, 8 * _PLACES)).cast("q"),
            memoryview(mmap.mmap(-1, 8 * _PLACES)).cast("d"),
        )
        self._seen = 0

    def put(self, target: Target, peer: Peer, end: float) -> None:
        """An endpoint is left alone until a moment."""
        key, memory = self._key(target, peer), self._memory
        memory.ends[key % _PLACES] = end
        memory.keys[key % _PLACES] = key
        memory.written[0] += 1

    def changed(self) -> bool:
        """Whether something was put, by whichever process, since this was asked last."""
        seen, self._seen = self._seen, self._memory.written[0]
        return seen != self._seen

    def end(self, target: Target, peer: Peer) -> float:
        """Give until when an endpoint is left alone; 0 where it is not."""
        key = self._key(target, peer)
        return float(self._memory.ends[key % _PLACES]) if self._memory.keys[key % _PLACES] == key else 0.0

    def _key(self, target: Target, peer: Peer) -> int:
        return hash((target, peer.name))  # processes that were forked from one hash alike
