"""Keeps a cache equal to a collection of the API: list, then watch, and list again when the history is gone.

The behaviours are those of client-go's reflector: bookmarks are followed, a 410 means a fresh list whose differences
(deletions too) reach the cache, failures are retried with growing, jittered delays, and a connection that has gone
silent is given up. What comes twice or out of order does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from kapi.backoff import Backoff
from kapi.cache import Cache, key_of
from kapi.client import Client
from kapi.errors import (
    ApiError,
    BadRequest,
    ConnectionLost,
    Expired,
    Forbidden,
    Invalid,
    StatusError,
    TooManyRequests,
    from_status,
)
from kapi.versions import Versions, number

Json = dict[str, Any]

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.2  # quicker than client-go's 0.8 s: a lab's API server is young when its first clients arrive
_LONGEST_DELAY = 30.0
_HEALTHY_AFTER = 120.0  # seconds of uninterrupted watching after which the next failure starts from _FIRST_DELAY
_SHORT_WATCH = 1.0  # a watch that ends sooner, without an event, is a failure and not a time-out
_WATCHES_ONLY = 60.0  # seconds for which a server that fails to watch is not asked for a list, which costs it more
_INITIAL_PATIENCE = 30.0  # seconds for the end of initial events; a server that ignores the wish for them sends none
_PAGE = 500
_SLICE = 0.005  # seconds for which taking in objects keeps the loop
_INITIAL_END = "k8s.io/initial-events-end"


class Informer:
    """Feeds one `Cache` from one collection. `run` goes on until it is cancelled.

    With `watch_list` the first state comes through the watch (KEP-3157), which spares the server a large answer; where
    it refuses, a list is asked for. `clock` (seconds), `sleep` and `jitter` (0 to 1) are the world's when not given.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache[Any],
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        watch_list: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.cache = cache
        self._client = client
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._watch_list = watch_list
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._versions = Versions()
        self._version = ""  # the last one heard of; "" where a list must begin
        self._least = "0"  # what a list may be answered from: any state, one not older than what we saw, or the newest

    async def run(self) -> None:
        """Keep the cache current for ever."""
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY, self._jitter)
        expired = False  # and that was all we heard
        while True:
            started = self._clock()
            try:
                if not self._version:
                    await self._begin()
                await self._follow()
            except Expired:
                log.info("the history of %s is gone: listing again", self.cache.resource.plural)
                self._version, self._least = "", ""
                if expired and self._clock() - started <= _SHORT_WATCH:
                    await self._sleep(backoff.failed())
                expired = True
            except ApiError as error:
                expired = False
                if self._clock() - started > _HEALTHY_AFTER:
                    backoff.reset()
                await self._failed(error, backoff)

    async def _failed(self, error: ApiError, backoff: Backoff) -> None:
        """Wait after a failure. After a lost connection or a plea for patience the watch goes on where it was."""
        asked = error.retry_after if isinstance(error, StatusError) else None
        delay = backoff.failed(asked or 0.0)
        told = not isinstance(error, ConnectionLost) or self._client.outage.is_news(self._clock(), delay)
        level = logging.WARNING if told else logging.DEBUG
        log.log(level, "%s: %s; trying again in %.1f s", self.cache.resource.plural, error, delay)
        if isinstance(error, StatusError) and not isinstance(error, TooManyRequests):
            self._least, self._version = ("" if error.status.get("code") == 504 else self._version or self._least), ""
        if isinstance(error, ConnectionLost):
            await self._client.outage.wait(self._sleep(delay))
        else:
            await self._sleep(delay)

    async def _begin(self) -> None:
        """Bring the cache to the collection's present state."""
        if self._watch_list:
            try:
                return await self._stream_state()
            except (BadRequest, Invalid, Forbidden, TimeoutError) as error:
                log.info("%s cannot be listed by a watch: %s", self.cache.resource.plural, error)
                self._watch_list = False
        return await self._list()

    async def _list(self) -> None:
        """Take in a list page by page, so that a large collection is never in memory as the API writes it."""
        versions: dict[str, str] = {}
        page, least = "", self._least
        while True:
            listing = await self._client.list(
                self.cache.resource,
                self._namespace,
                limit=_PAGE,
                page=page,
                resource_version="" if page else least,
                labels=self._labels,
                fields=self._fields,
                owners=False,
            )
            versions |= await self._put(listing.items)
            page = listing.next_page
            if not page:
                break
        self._client.outage.ended()
        self._complete(versions, listing.resource_version)

    async def _stream_state(self) -> None:
        """Gather the state from a watch's initial events, and take it in when it is complete."""
        found: dict[str, Json] = {}
        async with (
            asyncio.timeout(_INITIAL_PATIENCE),
            self._client.watch(
                self.cache.resource, self._namespace, initial_events=True, labels=self._labels, fields=self._fields
            ) as stream,
        ):
            async for event in stream:
                obj = event["object"]
                if event["type"] == "ERROR":
                    raise from_status(obj)
                if event["type"] != "BOOKMARK":
                    found[key_of(obj)] = _lean(obj)
                elif _INITIAL_END in (obj["metadata"].get("annotations") or {}):
                    self._complete(await self._put(list(found.values())), obj["metadata"]["resourceVersion"])
                    return
        raise ConnectionLost("the watch ended before the initial events did")

    async def _put(self, items: list[Json]) -> dict[str, str]:
        """Put objects into the cache, once it is in use a few milliseconds' worth at a time. Gives their versions.

        Before, it is better not to have in memory what several informers have listed.
        """
        versions: dict[str, str] = {}
        until = time.monotonic() + _SLICE
        for obj in items:
            self.cache.put(obj)
            versions |= _version_of(obj)
            if self.cache.synced and time.monotonic() >= until:
                await asyncio.sleep(0)
                until = time.monotonic() + _SLICE
        return versions

    def _complete(self, versions: dict[str, str], version: str) -> None:
        """Say that all there is has been put."""
        self._versions.replace(versions)
        self.cache.keep(versions)
        self._version = version

    async def _follow(self) -> None:
        """Follow the collection, opening the watch again whenever the server ends it; returns never."""
        failing_since = 0.0
        while True:
            try:
                await self._watch()
                failing_since = 0.0
            except StatusError as error:
                failing_since = failing_since or self._clock()
                if error.status.get("code") != 500 or self._clock() - failing_since > _WATCHES_ONLY:
                    raise
                log.warning("%s: %s; watching again", self.cache.resource.plural, error)
                await self._sleep(_SHORT_WATCH * (1 + self._jitter()))

    async def _watch(self) -> None:
        """Follow one watch to its end; one that ends at once, without an event, is a failure."""
        started, events = self._clock(), 0
        try:
            async with self._client.watch(
                self.cache.resource,
                self._namespace,
                resource_version=self._version,
                timeout_seconds=300 + int(300 * self._jitter()),
                labels=self._labels,
                fields=self._fields,
            ) as stream:
                told = asyncio.get_running_loop().call_later(_SHORT_WATCH, self._client.outage.ended)
                try:
                    async for event in stream:
                        self._take(event)
                        events += 1
                finally:
                    told.cancel()
        except ConnectionLost:
            if not events:
                raise
        if not events and self._clock() - started < _SHORT_WATCH:
            raise ConnectionLost("the watch ended at once, without an event")

    def _take(self, event: Json) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            raise from_status(obj)
        version = (obj.get("metadata") or {}).get("resourceVersion") or ""
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            self._take_object(kind, obj, version)
        elif kind != "BOOKMARK":
            raise StatusError({"message": f"unknown watch event type {kind!r}"})
        self._advance(version)

    def _take_object(self, kind: str, obj: Json, version: str) -> None:
        if not _named(obj):
            self.cache.put(obj)  # which says what is wrong with it
            return
        key = key_of(obj)
        if not self._versions.is_news(key, version):
            return
        self._versions.take(key, version, gone=kind == "DELETED")
        if kind == "DELETED":
            self.cache.remove(key)
        else:
            self.cache.put(_lean(obj))

    def _advance(self, version: str) -> None:
        """Remember the last version, never an earlier one after a later one."""
        given, known = number(version), number(self._version)
        if version and (given is None or known is None or given > known):
            self._version = version


def _lean(obj: Json) -> Json:
    """Give an object as lists are asked for: without the owners of its fields."""
    obj["metadata"].pop("managedFields", None)
    return obj


def _version_of(obj: Json) -> dict[str, str]:
    """Give an object's key with its version; nothing for one without a name."""
    return {key_of(obj): obj["metadata"].get("resourceVersion") or ""} if _named(obj) else {}


def _named(obj: Json) -> bool:
    meta = obj.get("metadata")
    return isinstance(meta, dict) and bool(meta.get("name"))
