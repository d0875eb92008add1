"""What is known of one resource, kept current, and who wants to hear of changes; informers and files feed it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kapi.errors import DecodeError
from kapi.resources import Resource

T = TypeVar("T")
Json = dict[str, Any]
Decode = Callable[[Json], T]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object appeared (`old` is None), changed, or vanished (`new` is None)."""

    key: str
    old: T | None
    new: T | None


Listener = Callable[[Change[T]], None]


def key_of(obj: Json) -> str:
    """`namespace/name`, or the name alone for objects without a namespace."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


class Cache(Mapping[str, T]):
    """A mapping of keys to decoded objects that calls its listeners, in order, for every change.

    Listeners are plain functions: they are called on the event loop's thread while the cache already shows the new
    state, and must be quick (note what changed, wake a worker). One that fails is logged with the object. An object
    that cannot be decoded is logged, and is as good as absent; one bad object never hides another.
    """

    def __init__(self, resource: Resource, decode: Decode[T]) -> None:
        self.resource = resource
        self._decode = decode
        self._objects: dict[str, T] = {}
        self._listeners: list[Listener[T]] = []
        self._synced = asyncio.Event()

    def __getitem__(self, key: str) -> T:
        return self._objects[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def synced(self) -> bool:
        """Whether the first complete state has arrived."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until the first complete state has arrived."""
        await self._synced.wait()

    def listen(self, listener: Listener[T]) -> None:
        """Call `listener` for every change from now on, and at once for each object already here."""
        self._listeners.append(listener)
        for key, value in list(self._objects.items()):
            self._call(listener, Change(key, None, value))

    def put(self, obj: Json) -> None:
        """Take in an object as the API gave it; one that cannot be read is removed: what was known is no longer so."""
        try:
            key = key_of(obj)
        except (KeyError, TypeError):
            log.warning("skipped one of %s: it has no name", self.resource.plural)
            return
        try:
            new = self._decode(obj)
        except (DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}"
            log.warning("skipped %s %s, which cannot be read: %s", self.resource.kind, key, why)
            self.remove(key)
            return
        old = self._objects.get(key)
        if old == new:
            return
        self._objects[key] = new
        self._tell(Change(key, old, new))

    def remove(self, key: str) -> None:
        """Forget an object; nothing happens where it is not known."""
        if key in self._objects:
            self._tell(Change(key, self._objects.pop(key), None))

    def replace(self, objects: list[Json]) -> None:
        """Take in a complete state: what is not in it has vanished. Marks the cache as synced."""
        present = {
            key_of(obj) for obj in objects if isinstance(obj.get("metadata"), dict) and "name" in obj["metadata"]
        }
        self._forget_others(present)
        for obj in objects:
            self.put(obj)
        self.mark_synced()

    def keep(self, present: Container[str]) -> None:
        """Say that all of a complete state has been put: what is not `present` has vanished. Marks it as synced."""
        self._forget_others(present)
        self.mark_synced()

    def mark_synced(self) -> None:
        """Say that the first complete state has arrived."""
        self._synced.set()

    def unlisten(self, listener: Listener[T]) -> None:
        """Call `listener` no more."""
        self._listeners.remove(listener)

    def _forget_others(self, present: Container[str]) -> None:
        for key in [key for key in self._objects if key not in present]:
            self.remove(key)

    def _tell(self, change: Change[T]) -> None:
        for listener in tuple(self._listeners):
            self._call(listener, change)

    def _call(self, listener: Listener[T], change: Change[T]) -> None:
        try:
            listener(change)
        except Exception:  # the outermost edge of a listener: the others, and later changes, are not its fault
            log.exception("%s %s changed, and one who listens failed", self.resource.kind, change.key)
