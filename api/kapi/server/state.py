"""Everything the server knows, in memory: what lists, watches and reads are served from.

A `Collection` is all records of one resource, the recent changes to them, and those who hear of each. `State` is the
collections together, and the one place that hears from the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from sys import intern
from typing import Any

from kapi.codec.owned import Unreadable, taken
from kapi.resources import Resource
from kapi.server import statuses
from kapi.server.history import Change, ChangeKind, History
from kapi.server.records import Record
from kapi.store import Snapshot, Write

Json = dict[str, Any]
log = logging.getLogger(__name__)

_WAIT_FOR_FUTURE = 3.0  # seconds a request waits for a version that another server may be about to tell us
Offer = Callable[[Change], None]
Place = tuple[str, str]  # namespace and name
FIRST: Place = ("", "")  # before all


class Collection:
    """All objects of one resource, by namespace ("" where there are none) and name."""

    def __init__(self, resource: Resource, floor: int) -> None:
        self.resource = resource
        self.watchers: set[Offer] = set()
        self.history = History(floor)
        self._records: dict[str, dict[str, Record]] = {}
        self._names: dict[str, list[str]] = {}  # by namespace, in order

    def __len__(self) -> int:
        return sum(len(records) for records in self._records.values())

    def get(self, namespace: str, name: str) -> Record | None:
        """Give one object, if it is there."""
        return self._records.get(namespace, {}).get(name)

    def records(self, namespace: str = "") -> Iterator[Record]:
        """Give the objects of a namespace, or all, in no order."""
        if namespace:
            yield from self._records.get(namespace, {}).values()
            return
        for records in self._records.values():
            yield from records.values()

    def ordered(self, namespace: str = "", after: Place = FIRST) -> Iterator[Record]:
        """Give the objects of a namespace, or all, by key; those after a place. Nothing may change meanwhile."""
        for inside in (namespace,) if namespace else sorted(self._names):
            names, records = self._names.get(inside, ()), self._records.get(inside, {})
            for index in range(_begin(names, inside, after), len(names)):
                yield records[names[index]]

    def count(self, namespace: str = "", after: Place = FIRST) -> int:
        """Give how many `ordered` gives."""
        found = ((inside, self._names.get(inside, ())) for inside in ((namespace,) if namespace else self._names))
        return sum(len(names) - _begin(names, inside, after) for inside, names in found)

    def ordered_at(self, version: int, namespace: str = "", after: Place = FIRST) -> Iterator[Record]:
        """Give the objects as they were at an earlier version, as `ordered`; 410 where that is no longer known."""
        if version < self.history.floor:
            raise statuses.expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter."
            )
        then = self._then(version, namespace)
        if not then:
            return self.ordered(namespace, after)
        present = (record for record in self.ordered(namespace, after) if place_of(record) not in then)
        changed = (record for place, record in then.items() if record is not None and place > after)
        return merge(present, sorted(changed, key=place_of), key=place_of)

    def count_at(self, version: int, namespace: str, after: Place) -> int:
        """Give how many `ordered_at` gives."""
        then = ((place, record) for place, record in self._then(version, namespace).items() if place > after)
        return self.count(namespace, after) + sum(
            (record is not None) - (self.get(*place) is not None) for place, record in then
        )

    def _then(self, version: int, namespace: str) -> dict[Place, Record | None]:
        """Give what was there before the changes after a version, where it was something else."""
        changes = self.history.back_to(version)
        return {place_of(c.record): c.previous for c in changes if not namespace or c.record.namespace == namespace}

    def load(self, record: Record) -> None:
        """Take in an object that was there before the server started."""
        self._add(record)

    def take(self, key: str, namespace: str, name: str, write: Write) -> None:
        """Take in a committed write, and tell those who watch."""
        previous = self.get(namespace, name)
        obj = write.value
        if obj is None:
            if previous is None:
                return
            self._remove(namespace, name)
            meta = {**previous.object["metadata"], "resourceVersion": str(write.revision)}
            obj = {**previous.object, "metadata": meta}
            kind: ChangeKind = "DELETED"
            owned = previous.owned
        else:
            meta = {**obj["metadata"], "resourceVersion": str(write.revision)}
            owned = _owned(key, meta)
            obj = {**obj, "metadata": meta}
            kind = "MODIFIED" if previous else "ADDED"
        record = Record(key, namespace, name, write.revision, obj, owned)
        if kind != "DELETED":
            self._add(record)
        change = Change(kind, record, previous, time.monotonic())
        self.history.add(change)
        for offer in tuple(self.watchers):
            offer(change)

    def _add(self, record: Record) -> None:
        records = self._records.setdefault(record.namespace, {})
        if record.name not in records:
            names = self._names.setdefault(record.namespace, [])
            names.insert(bisect_right(names, record.name), record.name)
        records[record.name] = record

    def _remove(self, namespace: str, name: str) -> None:
        names, records = self._names[namespace], self._records[namespace]
        del records[name], names[bisect_left(names, name)]
        if not records:
            del self._records[namespace], self._names[namespace]


def _owned(key: str, meta: Json) -> bytes:
    """Take the record of the fields' owners out of what a store held; one that cannot be read is as good as none."""
    try:
        return taken(meta)
    except Unreadable as error:
        log.warning("%s: who owns its fields cannot be read and is no longer told: %s", key, error)
        return b""


def _loaded(key: str, namespace: str, name: str, version: int, obj: Json) -> Record:
    """Give what a store held as a record; names that are in many places are in memory once."""
    meta = obj["metadata"]
    owned = _owned(key, meta)
    meta |= {"name": name, "resourceVersion": str(version)}
    if namespace:
        meta["namespace"] = namespace
    obj |= {"apiVersion": intern(obj["apiVersion"]), "kind": intern(obj["kind"])}
    return Record(key, namespace, name, version, obj, owned)


def place_of(record: Record) -> Place:
    """Give where in an ordered collection a record is."""
    return (record.namespace, record.name)


def _begin(names: Sequence[str], namespace: str, after: Place) -> int:
    """Give the index of the first of a namespace's names that comes after a place."""
    if namespace == after[0]:
        return bisect_right(names, after[1])
    return 0 if namespace > after[0] else len(names)


class State:
    """The collections, and the version at which they are true."""

    def __init__(self, resources: tuple[Resource, ...]) -> None:
        self.version = 0
        self._collections = {resource.qualified: Collection(resource, 0) for resource in resources}
        self._grown = asyncio.Event()

    def of(self, resource: Resource) -> Collection:
        """Give the collection of a resource."""
        return self._collections[resource.qualified]

    def load(self, snapshot: Snapshot) -> None:
        """Take in what a store held when it was opened. Objects of resources that are not served are left alone."""
        self.version = snapshot.revision
        self._collections = {name: Collection(c.resource, self.version) for name, c in self._collections.items()}
        for entry in snapshot.entries:
            prefix, namespace, name = split(entry.key)
            collection = self._collections.get(prefix)
            if collection is not None and entry.value is not None:
                collection.load(_loaded(entry.key, intern(namespace), name, entry.revision, entry.value))

    def take(self, write: Write) -> None:
        """Hear of a committed write: the store's listener."""
        self.version = write.revision
        prefix, namespace, name = split(write.key)
        collection = self._collections.get(prefix)
        if collection is not None:
            collection.take(write.key, namespace, name, write)
        self._grown.set()

    async def reach(self, version: int) -> None:
        """Wait until the state is at `version`; after three seconds, refuse (504, ask again)."""
        if version <= self.version:
            return
        try:
            async with asyncio.timeout(_WAIT_FOR_FUTURE):
                while version > self.version:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            raise statuses.too_large_version(version, self.version) from None


def key_of(resource: Resource, namespace: str, name: str) -> str:
    """Give the key under which a store keeps an object."""
    return f"{resource.qualified}/{namespace}/{name}" if resource.namespaced else f"{resource.qualified}/{name}"


def split(key: str) -> tuple[str, str, str]:
    """Give the resource, namespace ("" where there is none) and name of a store's key."""
    prefix, _, rest = key.partition("/")
    namespace, slash, name = rest.partition("/")
    return (prefix, namespace, name) if slash else (prefix, "", namespace)
