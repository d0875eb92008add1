"""A watch: what has changed in a collection, from some version on, as its selector sees it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

from kapi.server.options import Options
from kapi.server.state import Change, Collection, Record, State

Json = dict[str, Any]
EventKind = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]

_BOOKMARK_EVERY = 60.0  # seconds
_BOOKMARK_BEFORE_END = 2.0
_SHORTEST, _LONGEST = 1800.0, 3600.0  # seconds a watch lasts where the client sets no bound
_CROWD = 10  # watchers of a collection from which on each is written to less often, with more at a time
_SECONDS_EACH = 0.0004  # that a crowd's watchers wait after a batch, times how many they are: what writing to all costs
_LONGEST_GATHERING = 0.05
_MOST_WAITING = 20_000  # events a slow client may leave unread before its watch is ended
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class Event(NamedTuple):
    """One event of a watch. Bookmarks and errors have an object of their own and no record.

    A tuple, because a hundred watchers of a thousand changes a second make a hundred thousand of them.
    """

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


class Watch:
    """One client's view of a collection: `events` gives batches until the time is over.

    Opening it (`open`) fixes where it starts: current objects first where no version is given, or else what has
    changed since. Refuses with 410 where that is no longer known.
    """

    def __init__(self, state: State, collection: Collection, namespace: str, options: Options) -> None:
        self._state = state
        self._collection = collection
        self._namespace = namespace
        self._options = options
        self._selects: Callable[[Json], bool] | None = options.selects
        self._waiting: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._overrun = False

    def open(self) -> None:
        """Start to listen; pairs with `close`."""
        options = self._options
        if options.version <= 0 or options.initial_events:
            for record in self._collection.ordered(self._namespace):
                if self._selects is None or self._selects(record.object):
                    self._waiting.append(Event("ADDED", record))
            if options.initial_events:
                self._waiting.append(self._bookmark(_INITIAL_END))
        else:
            for change in self._collection.since(options.version):
                self._offer(change)
        self._collection.watchers.add(self._offer)
        if self._waiting:
            self._ready.set()

    def close(self) -> None:
        """Stop listening."""
        self._collection.watchers.discard(self._offer)

    async def events(self) -> AsyncIterator[list[Event]]:
        """Give what happens, in batches, until the watch's time is over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (self._options.timeout or random.uniform(_SHORTEST, _LONGEST))
        bookmark = loop.time() + _BOOKMARK_EVERY
        last = max(end - _BOOKMARK_BEFORE_END, loop.time())
        if self._options.bookmarks and last < bookmark:
            bookmark = last
        while True:
            try:
                until = min(end, bookmark) if self._options.bookmarks else end
                if not self._ready.is_set() or loop.time() >= until:
                    async with asyncio.timeout_at(until):
                        await self._ready.wait()
            except TimeoutError:
                if loop.time() >= end:
                    return
                bookmark = last if loop.time() < last < loop.time() + _BOOKMARK_EVERY else loop.time() + _BOOKMARK_EVERY
                yield [self._bookmark({})]
                continue
            batch = list(self._waiting)
            self._waiting.clear()
            self._ready.clear()
            if batch:
                yield batch
            if self._overrun:
                return
            await self._gather()

    async def _gather(self) -> None:
        """Let events come together where there are many watchers, or one event each would be a write for each."""
        crowd = len(self._collection.watchers)
        if crowd > _CROWD:
            await asyncio.sleep(min(crowd * _SECONDS_EACH, _LONGEST_GATHERING))

    def _offer(self, change: Change) -> None:
        record = change.record
        if self._namespace and record.namespace != self._namespace:
            return
        kind = self._seen(change)
        if kind is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._overrun = True
            self.close()
            return
        self._waiting.append(Event(kind, record))
        if len(self._waiting) == 1:
            self._ready.set()

    def _seen(self, change: Change) -> EventKind | None:
        """Say what a change is to this watch's selector: leaving it is a deletion, entering it an addition."""
        if self._selects is None:
            return change.kind
        before = change.previous is not None and self._selects(change.previous.object)
        after = change.kind != "DELETED" and self._selects(change.record.object)
        if before:
            return "MODIFIED" if after else "DELETED"
        return "ADDED" if after else None

    def _bookmark(self, annotations: dict[str, str]) -> Event:
        resource = self._collection.resource
        meta: Json = {"resourceVersion": str(self._state.version), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        return Event("BOOKMARK", None, {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta})
