"""A source that is told of the cluster by its own process: object by object, or one whole state after another.

`kapi.manifests` feeds it from files and `kapi.pipe` from a pipe; in Python, call it directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from kapi.cache import Cache, Decode, key_of
from kapi.errors import DecodeError
from kapi.resources import RESOURCES, Resource

T = TypeVar("T")
Json = dict[str, Any]

_BY_KIND: dict[tuple[str, str], Resource] = {(one.api_version, one.kind): one for one in RESOURCES}


class Feed:
    """A `Source` whose objects are handed in. Kinds that nobody asks for are kept, and cost nothing else."""

    def __init__(self) -> None:
        self._objects: dict[Resource, dict[str, Json]] = {resource: {} for resource in RESOURCES}
        self._caches: dict[tuple[Resource, Any], Cache[Any]] = {}
        self.complete = False

    def cache(self, resource: Resource, decode: Decode[T]) -> Cache[T]:
        """See `Source.cache`."""
        known = self._caches.get((resource, decode))
        if known is None:
            known = self._caches[resource, decode] = Cache(resource, decode)
            self._fill(resource, known)
        return known

    async def run(self) -> None:
        """See `Source.run`: there is nothing to do."""
        await asyncio.Event().wait()

    def put(self, obj: Json) -> None:
        """Take in an object that is new or has changed. Raises DecodeError where its kind or name is not to be had."""
        resource, obj = identified(obj)
        self._objects[resource][key_of(obj)] = obj
        for cache in self._of(resource):
            cache.put(obj)

    def remove(self, obj: Json) -> None:
        """Forget an object; only its kind, namespace and name are looked at. Raises DecodeError as `put` does."""
        resource, obj = identified(obj)
        self._objects[resource].pop(key_of(obj), None)
        for cache in self._of(resource):
            cache.remove(key_of(obj))

    def finish(self) -> None:
        """Say that the first state is complete: only now do components begin."""
        self.complete = True
        for (resource, _), cache in self._caches.items():
            self._fill(resource, cache)

    def replace(self, objects: Iterable[Json], *, of: Iterable[Resource] = RESOURCES) -> None:
        """Take in a complete state: objects of the kinds `of` that are not in it have vanished.

        Raises DecodeError, before anything has changed, where an object has no known kind or no name, and KeyError
        where it is of none of those kinds.
        """
        present: dict[Resource, dict[str, Json]] = {resource: {} for resource in of}
        for resource, obj in map(identified, objects):
            present[resource][key_of(obj)] = obj
        for resource, new in present.items():
            old, self._objects[resource] = self._objects[resource], new
            if self.complete:
                self._compare(resource, old, new)
        if not self.complete:
            self.finish()

    def _compare(self, resource: Resource, old: dict[str, Json], new: dict[str, Json]) -> None:
        """Bring the caches from one state to the next: an object that is the same costs nothing."""
        changed = [obj for key, obj in new.items() if old.get(key) != obj]
        for cache in self._of(resource):
            for key in old.keys() - new.keys():
                cache.remove(key)
            for obj in changed:
                cache.put(obj)

    def _of(self, resource: Resource) -> Iterator[Cache[Any]]:
        return (cache for (kind, _), cache in self._caches.items() if kind == resource)

    def _fill(self, resource: Resource, cache: Cache[Any]) -> None:
        objects = self._objects[resource].values()
        if self.complete:
            cache.replace(list(objects))
        else:
            for obj in objects:
                cache.put(obj)


def identified(obj: Json) -> tuple[Resource, Json]:
    """Give an object's resource, and the object with the namespace `default` where it should have one and does not.

    Raises DecodeError where its kind is unknown or it has no name.
    """
    resource = _BY_KIND.get((obj.get("apiVersion", ""), obj.get("kind", "")))
    if resource is None:
        kind = f"{obj.get('kind') or 'no kind'} of {obj.get('apiVersion') or 'no apiVersion'}"
        raise DecodeError(f"{kind} is not known here")
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str) or not meta["name"]:
        raise DecodeError(f"a {resource.kind} without metadata.name")
    if resource.namespaced and not meta.get("namespace"):
        obj = {**obj, "metadata": {**meta, "namespace": "default"}}
    return resource, obj
