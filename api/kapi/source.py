"""Where a component learns of the cluster.

Every component asks its source for caches and listens to them; it does not know whether an API server, a folder of
manifests or a pipe is behind it. Components that share a source share its caches: in a lab each object is decoded
once, however many nodes there are.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, TypeVar

from kapi.cache import Cache, Decode
from kapi.client import Client
from kapi.informer import Informer
from kapi.resources import Resource

T = TypeVar("T")


class Source(Protocol):
    """Knows the cluster: gives caches before `run`, and keeps them current while it runs."""

    def cache(self, resource: Resource, decode: Decode[T]) -> Cache[T]:
        """Give the cache of one resource; the same one for the same resource and decoder."""
        ...

    async def run(self) -> None:
        """Keep all caches current until cancelled."""
        ...


class ApiSource:
    """The cluster as an API server tells it: one informer a cache. Asking for a cache while running starts it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[Resource, Any], Informer] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def cache(self, resource: Resource, decode: Decode[T]) -> Cache[T]:
        """See `Source.cache`."""
        known = self._informers.get((resource, decode))
        if known is None:
            known = self._informers[resource, decode] = Informer(self._client, Cache(resource, decode))
            if self._tasks is not None:
                self._tasks.create_task(known.run(), name=f"informer {resource.plural}")
        return known.cache

    async def run(self) -> None:
        """See `Source.run`."""
        async with asyncio.TaskGroup() as self._tasks:
            for (resource, _), informer in self._informers.items():
                self._tasks.create_task(informer.run(), name=f"informer {resource.plural}")
            await asyncio.Event().wait()  # until cancelled, even with no cache yet


async def wait_synced(*caches: Cache[Any]) -> None:
    """Wait until every one of `caches` has its first complete state."""
    for cache in caches:
        await cache.wait_synced()
