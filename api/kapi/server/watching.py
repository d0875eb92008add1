"""A watch: what has changed in a collection, from some version on, as its selector sees it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from kapi.server.history import Batch, Change, Event, EventKind
from kapi.server.options import Options
from kapi.server.state import Collection, State

Json = dict[str, Any]

_BOOKMARK_EVERY = 60.0  # seconds
_BOOKMARK_BEFORE_END = 2.0
_SHORTEST, _LONGEST = 1800.0, 3600.0  # seconds a watch lasts where the client sets no bound
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


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
        self._first: list[Event] = []
        self._place = 0
        self._ready = asyncio.Event()

    def open(self) -> None:
        """Start to listen; pairs with `close`."""
        options, history = self._options, self._collection.history
        if options.version <= 0 or options.initial_events:
            self._place = history.end
            for record in self._collection.ordered(self._namespace):
                if self._selects is None or self._selects(record.object):
                    self._first.append(Event("ADDED", record))
            if options.initial_events:
                self._first.append(self._bookmark(_INITIAL_END))
        else:
            self._place = history.place_of(options.version)
        history.followers.add(self._ready.set)
        if self._first or self._place < history.end:
            self._ready.set()

    def close(self) -> None:
        """Stop listening."""
        self._collection.history.followers.discard(self._ready.set)

    async def events(self) -> AsyncIterator[Batch]:
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
                if self._place < self._collection.history.end:  # a bookmark must not promise what is still to be told
                    self._ready.set()
                    continue
                bookmark = last if loop.time() < last < loop.time() + _BOOKMARK_EVERY else loop.time() + _BOOKMARK_EVERY
                yield Batch([self._bookmark({})])
                continue
            self._ready.clear()
            if self._collection.history.is_lost(self._place):
                return
            batch = self._next()
            if batch.events:
                yield batch

    def _next(self) -> Batch:
        """Give what has not been told yet."""
        if self._first:
            first, self._first = self._first, []
            if self._place < self._collection.history.end:
                self._ready.set()
            return Batch(first)
        history = self._collection.history
        place, self._place = self._place, history.end
        if self._selects is None:
            return history.batch(place, self._namespace)
        changes = [c for c in history.changes(place) if not self._namespace or c.record.namespace == self._namespace]
        return Batch([Event(kind, change.record) for change in changes if (kind := self._seen(change)) is not None])

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
