"""A cache brought forward by what this process has just written.

A cache lags behind the server. A controller that decides on it alone would, right after creating an object, not see it
and create another. `Written` holds what the cache shows and, until the cache catches up, the server's replies to our
own writes. client-go keeps "expectations" for the same reason; here the answer is simply the newer of two versions,
which resource versions let us compare (KEP-5504).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from kapi.cache import Cache, Change, Decode, Listener
from kapi.client import Client
from kapi.errors import ApiError, NotFound
from kapi.resources import Resource

Json = dict[str, Any]

_MOST_ENDED = 1000  # deletions remembered: more than can overtake the answers to our own writes


class Versioned(Protocol):
    """What tells two states of an object, and two objects of one name, apart."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        ...

    @property
    def uid(self) -> str:
        """Unique in space and time."""
        ...

    @property
    def resource_version(self) -> str:
        """Grows with every write."""
        ...


V = TypeVar("V", bound=Versioned)


class Written(Mapping[str, V]):
    """The objects of one resource as this process must see them, its own writes included.

    `listen` hears every change of this view; `listen_others` only those that somebody else made.
    """

    def __init__(self, cache: Cache[V], decode: Decode[V], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cache = cache
        self._decode = decode
        self._clock = clock
        self._objects: dict[str, V] = {}
        self._unseen: dict[str, float] = {}  # keys written and not yet shown by the cache: since when
        self._gone: set[str] = set()  # uids deleted and still shown by the cache
        self._ended: dict[str, None] = {}  # uids whose deletion the cache has shown, the latest last
        self._listeners: list[Listener[V]] = []
        self._listeners_to_others: list[Listener[V]] = []
        self._wrote = asyncio.Event()
        cache.listen(self._observe)

    def __getitem__(self, key: str) -> V:
        return self._objects[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def listen(self, listener: Listener[V]) -> None:
        """Call `listener` for every change from now on, and at once for each object already here."""
        self._listeners.append(listener)
        for key, value in list(self._objects.items()):
            listener(Change(key, None, value))

    def listen_others(self, listener: Listener[V]) -> None:
        """Call `listener` for every change from now on that this process did not make."""
        self._listeners_to_others.append(listener)

    def wrote(self, obj: Json) -> V:
        """Take in the server's reply to a write; one that the object's deletion has overtaken is no news."""
        new = self._decode(obj)
        if new.uid in self._ended:
            return new
        held = self._objects.get(new.key)
        if held is None or held.uid != new.uid or not _same_or_older(new, held):
            self._set(new.key, held, new)
            self._unseen[new.key] = self._clock()
            self._wrote.set()
        return new

    def deleted(self, key: str, uid: str) -> None:
        """Note that an object is gone: that very one, since another of its name may be there already."""
        held = self._objects.get(key)
        if held is None or held.uid != uid:
            return
        shown = self.cache.get(key)
        if shown is not None and shown.uid == held.uid:
            self._gone.add(held.uid)
        self._set(key, held, None)

    async def settle(self, client: Client, resource: Resource, *, patience: float = 10.0) -> None:
        """For ever: ask the server about writes that the cache has not shown for `patience` seconds.

        An object that we created and somebody deleted during a gap in the watch would otherwise be believed in.
        """
        while True:
            await self._wrote.wait()
            await asyncio.sleep(patience)
            due = self._clock() - patience
            for key in [key for key, since in self._unseen.items() if since <= due]:
                await self._ask(client, resource, key)
            if not self._unseen:
                self._wrote.clear()

    async def _ask(self, client: Client, resource: Resource, key: str) -> None:
        namespace, _, name = key.rpartition("/")
        try:
            self._observe(Change(key, None, self._decode(await client.get(resource, name, namespace or None))))
        except NotFound:
            held = self._objects.get(key)
            if held is not None:
                self._observe(Change(key, held, None))
        except ApiError:
            return  # asked again after the next pause

    def _observe(self, change: Change[V]) -> None:
        """Take in what the cache shows, unless we know better."""
        key, held, new = change.key, self._objects.get(change.key), change.new
        if new is None:
            self._forget(change, held)
            return
        if new.uid in self._gone:
            return
        if held is not None and held.uid == new.uid and _same_or_older(new, held):
            if new.resource_version == held.resource_version:
                self._unseen.pop(key, None)
            return
        self._unseen.pop(key, None)
        self._set(key, held, new, by_others=True)

    def _forget(self, change: Change[V], held: V | None) -> None:
        if change.old is not None:
            self._gone.discard(change.old.uid)
            self._end(change.old.uid)
        if held is not None and (change.old is None or change.old.uid == held.uid):
            self._unseen.pop(change.key, None)
            self._set(change.key, held, None, by_others=True)

    def _end(self, uid: str) -> None:
        self._ended[uid] = None
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _set(self, key: str, old: V | None, new: V | None, *, by_others: bool = False) -> None:
        if new is None:
            del self._objects[key]
            self._unseen.pop(key, None)
        else:
            self._objects[key] = new
        change = Change(key, old, new)
        for listener in self._listeners:
            listener(change)
        for listener in self._listeners_to_others if by_others else ():
            listener(change)


def _same_or_older(new: Versioned, held: Versioned) -> bool:
    """Versions that are no numbers cannot be compared, but generations can, where objects have them.

    Otherwise whatever the cache shows is taken for newer.
    """
    if new.resource_version.isdecimal() and held.resource_version.isdecimal():
        return int(new.resource_version) <= int(held.resource_version)
    if new.resource_version and new.resource_version == held.resource_version:
        return True
    return _generation(new) < _generation(held)


def _generation(one: object) -> int:
    """Give how often an object's specification was changed; 0 for what does not tell."""
    return getattr(one, "generation", 0)
