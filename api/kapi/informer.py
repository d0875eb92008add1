"""Keeps a cache equal to a collection of the API: list, then watch, and list again when the history is gone.

The behaviours are those of client-go's reflector: bookmarks are followed, a 410 means a fresh list whose differences
(deletions too) reach the cache, failures are retried with growing, jittered delays, and a connection that has gone
silent is given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Any

from kapi.cache import Cache, key_of
from kapi.client import Client
from kapi.errors import ApiError, ConnectionLost, Expired, StatusError, TooManyRequests, from_status

Json = dict[str, Any]

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.2  # quicker than client-go's 0.8 s: a lab's API server is young when its first clients arrive
_LONGEST_DELAY = 30.0
_HEALTHY_AFTER = 120.0  # seconds of uninterrupted watching after which the next failure starts from _FIRST_DELAY
_SHORT_WATCH = 1.0  # a watch that ends sooner, without an event, is a failure and not a time-out
_PAGE = 500


class Informer:
    """Feeds one `Cache` from one collection. `run` goes on until it is cancelled."""

    def __init__(
        self, client: Client, cache: Cache[Any], *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> None:
        self.cache = cache
        self._client = client
        self._namespace = namespace
        self._selectors = {"labels": labels, "fields": fields}
        self._version = ""

    async def run(self) -> None:
        """Keep the cache current for ever."""
        delay = _FIRST_DELAY
        while True:
            started = time.monotonic()
            try:
                await self._list()
                await self._watch()
            except Expired:
                log.info("the history of %s is gone: listing again", self.cache.resource.plural)
                self._version = ""
                if time.monotonic() - started > _SHORT_WATCH:
                    continue
            except ApiError as error:
                log.warning("%s: %s; trying again in about %.1f s", self.cache.resource.plural, error, delay)
                if isinstance(error, TooManyRequests) and error.retry_after:
                    delay = max(delay, error.retry_after)
            if time.monotonic() - started > _HEALTHY_AFTER:
                delay = _FIRST_DELAY
            await asyncio.sleep(delay * (1 + random.random()))
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _list(self) -> None:
        """Bring the cache to the collection's present state."""
        items: list[Json] = []
        page = ""
        while True:
            listing = await self._client.list(
                self.cache.resource, self._namespace, limit=_PAGE, page=page, **self._selectors
            )
            items += listing.items
            page = listing.next_page
            if not page:
                break
        self._version = listing.resource_version
        self.cache.replace(items)

    async def _watch(self) -> None:
        """Follow the collection, opening the watch again whenever the server ends it; returns never."""
        while True:
            started, events = time.monotonic(), 0
            seconds = random.randrange(300, 600)
            try:
                async with self._client.watch(
                    self.cache.resource,
                    self._namespace,
                    resource_version=self._version,
                    timeout_seconds=seconds,
                    **self._selectors,
                ) as stream:
                    async for event in stream:
                        self._take(event)
                        events += 1
            except ConnectionLost:
                if not events:
                    raise
            if not events and time.monotonic() - started < _SHORT_WATCH:
                raise ConnectionLost("the watch ended at once, without an event")

    def _take(self, event: Json) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            raise from_status(obj)
        version = (obj.get("metadata") or {}).get("resourceVersion")
        if kind == "DELETED":
            self.cache.remove(key_of(obj))
        elif kind in ("ADDED", "MODIFIED"):
            self.cache.put(obj)
        elif kind != "BOOKMARK":
            raise StatusError({"message": f"unknown watch event type {kind!r}"})
        if version:
            self._version = version
