"""The Secrets that Ingresses name, and no other: each is read and watched alone, by its name.

So the ingress needs no right to list Secrets, and what it never reads it cannot leak.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from kapi.cache import Cache, Change
from kapi.client import Client
from kapi.informer import Informer
from kapi.resources import SECRETS

Json = dict[str, Any]
Data = Mapping[str, bytes]


def decode(obj: Json) -> Data:
    """Read the data of a v1 Secret; a value that is not base64 is left out."""
    found: dict[str, bytes] = {}
    for name, value in (obj.get("data") or {}).items():
        try:
            found[name] = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            continue
    return found


class Secrets:
    """Keeps the wanted Secrets current. Without a client it is filled by `put` and `remove` alone.

    `at_hand` is where all Secrets come with the other objects, from manifests or a pipe: there is nothing to ask for.
    """

    def __init__(
        self, changed: Callable[[str], None], client: Client | None = None, at_hand: Cache[Data] | None = None
    ) -> None:
        self._client = client
        self._at_hand = at_hand
        self._changed = changed
        self._caches: dict[str, Cache[Data]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._named: dict[str, frozenset[str]] = {}  # by user
        self._users: dict[str, set[str]] = {}  # by the key of the Secret
        if at_hand is not None:
            at_hand.listen(self._tell)

    @property
    def wanted(self) -> set[str]:
        """The keys of the Secrets that are read."""
        return set(self._caches)

    def get(self, key: str) -> Data | None:
        """Give the data of a Secret; None where there is none, or it is not wanted."""
        cache = self._caches.get(key)
        return cache.get(key) if cache is not None else None

    def known(self, key: str) -> bool:
        """Whether it is known of a Secret what it holds, or that it does not exist."""
        cache = self._caches.get(key)
        return cache is not None and (cache.synced or (self._client is None and self._at_hand is None))

    def users(self, key: str) -> set[str]:
        """Give who names a Secret."""
        return self._users.get(key, set())

    def name(self, user: str, keys: frozenset[str]) -> None:
        """Read the Secrets that `user` names now; those that nobody names any more are forgotten."""
        before = self._named.pop(user, frozenset())
        if keys:
            self._named[user] = keys
        for key in keys - before:
            self._users.setdefault(key, set()).add(user)
            if key not in self._caches:
                self._begin(key)
        for key in before - keys:
            self._users[key].discard(user)
            if not self._users[key]:
                self._end(key)

    def _begin(self, key: str) -> None:
        if self._at_hand is not None:
            self._caches[key] = self._at_hand
            self._changed(key)
            return
        self._caches[key] = cache = Cache(SECRETS, decode)
        cache.listen(self._tell)
        if self._client is not None:
            namespace, _, name = key.partition("/")
            informer = Informer(self._client, cache, namespace=namespace, fields=f"metadata.name={name}")
            self._watches[key] = asyncio.create_task(self._follow(key, informer), name=f"informer of Secret {key}")

    async def _follow(self, key: str, informer: Informer) -> None:
        """Keep one Secret current; that there is none is told as well."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informer.run())
            await informer.cache.wait_synced()
            if informer.cache.get(key) is None:
                self._changed(key)

    def _end(self, key: str) -> None:
        del self._caches[key], self._users[key]
        watch = self._watches.pop(key, None)
        if watch is not None:
            watch.cancel()
        self._changed(key)

    async def wait_synced(self, seconds: float) -> None:
        """Wait until all that are wanted were read, but not for ever: one that may not be read hinders no other."""
        waits = [asyncio.create_task(cache.wait_synced()) for cache in self._caches.values()]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=seconds)
            for wait in pending:
                wait.cancel()

    def put(self, obj: Json) -> None:
        """Take in a Secret as the API gives it, where it is wanted."""
        cache = self._caches.get(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
        if cache is not None:
            cache.put(obj)

    def remove(self, key: str) -> None:
        """Forget a Secret that was deleted."""
        if key in self._caches:
            self._caches[key].remove(key)

    def close(self) -> None:
        """Stop reading."""
        for watch in self._watches.values():
            watch.cancel()

    def _tell(self, change: Change[Data]) -> None:
        if change.key in self._caches:
            self._changed(change.key)
