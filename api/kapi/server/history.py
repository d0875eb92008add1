"""The recent changes of a collection, and those who follow them.

A change is kept once, whoever follows: a follower knows how far it has come, and is woken where there is more, with all
the others and not once for each change. One that falls too far behind has lost its place, and costs nothing until then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple

from kapi.server import statuses
from kapi.server.records import Record, encode

Json = dict[str, Any]
ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]
EventKind = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
Wake = Callable[[], None]

_KEPT_AT_LEAST = 1_000  # changes of a collection that are kept whatever their age
_KEPT_AT_MOST = 100_000
_KEPT_SECONDS = 300.0  # as long as clients may be away, pages be read and watches be resumed
_CROWD = 10  # followers from which on all are woken less often, for more at a time
_SECONDS_EACH = 0.0004  # between two times that a crowd is woken, times how many they are: what writing to all costs
_LONGEST_PAUSE = 0.05
_SHARED_AT_MOST = 2_000  # changes of a batch that others may want too: more are those of one who comes late


class Change(NamedTuple):
    """What happened to one object. `record` carries the version of the change, for deletions too."""

    kind: ChangeKind
    record: Record
    previous: Record | None
    at: float  # time.monotonic()


class Event(NamedTuple):
    """One event of a watch. Bookmarks have an object of their own and no record."""

    kind: EventKind
    record: Record | None
    extra: Json | None = None

    @property
    def object(self) -> Json:
        """The object as JSON."""
        if self.record is not None:
            return self.record.object
        assert self.extra is not None
        return self.extra

    @property
    def shown(self) -> Json:
        """The object as clients are shown it."""
        return self.record.shown if self.record is not None else self.object

    @property
    def frame(self) -> bytes:
        """The event as it goes over the wire: one line."""
        shown = self.record.encoded if self.record is not None else encode(self.extra)
        return b'{"type":"%s","object":%s}\n' % (self.kind.encode(), shown)


class Batch:
    """Events that are told together; those who see the same ones share them, and their bytes."""

    __slots__ = ("_encoded", "events")

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The events as they go over the wire, made once."""
        if self._encoded is None:
            self._encoded = b"".join([event.frame for event in self.events])
        return self._encoded


class History:
    """The changes to a collection, in order; `end` counts all there ever were."""

    def __init__(self, floor: int) -> None:
        self.floor = floor  # changes up to this version are no longer known
        self.end = 0
        self.followers: set[Wake] = set()
        self._changes: deque[Change] = deque()
        self._batches: dict[tuple[int, str], Batch] = {}
        self._waking: asyncio.TimerHandle | None = None
        self._pause_until = 0.0

    def add(self, change: Change) -> None:
        """Take in one more change, and wake the followers soon."""
        changes = self._changes
        changes.append(change)
        self.end += 1
        self._batches.clear()
        oldest = change.at - _KEPT_SECONDS
        while len(changes) > _KEPT_AT_LEAST and (changes[0].at < oldest or len(changes) > _KEPT_AT_MOST):
            self.floor = changes.popleft().record.version
        if self.followers and self._waking is None:
            loop = asyncio.get_running_loop()
            self._waking = loop.call_at(max(self._pause_until, loop.time()), self._wake)

    def _wake(self) -> None:
        self._waking = None
        crowd = len(self.followers)
        if crowd > _CROWD:
            pause = min(crowd * _SECONDS_EACH, _LONGEST_PAUSE)
            self._pause_until = asyncio.get_running_loop().time() + pause
        for wake in tuple(self.followers):
            wake()

    def back_to(self, version: int) -> Iterator[Change]:
        """Give the changes after `version`, the last one first."""
        for change in reversed(self._changes):
            if change.record.version <= version:
                return
            yield change

    def place_of(self, version: int) -> int:
        """Give the place of one who knows all up to `version`; 410 where what came next is not known any more."""
        if version < self.floor:
            raise statuses.expired(f"too old resource version: {version} ({self.floor})")
        return self.end - sum(1 for _ in self.back_to(version))

    def is_lost(self, place: int) -> bool:
        """Whether a follower has fallen so far behind that what comes next for it is no longer there."""
        return place < self.end - len(self._changes)

    def changes(self, place: int) -> list[Change]:
        """Give the changes from a place on."""
        return list(islice(reversed(self._changes), self.end - place))[::-1]

    def batch(self, place: int, namespace: str) -> Batch:
        """Give the events from a place on, of one namespace or ("") all, as those see them who do not select."""
        found = self._batches.get((place, namespace))
        if found is None:
            changes = self.changes(place)
            found = Batch(
                [Event(c.kind, c.record) for c in changes if not namespace or c.record.namespace == namespace]
            )
            if len(changes) <= _SHARED_AT_MOST:
                self._batches[place, namespace] = found
        return found
