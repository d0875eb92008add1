"""Owner references: what an owner's end means for those it owns.

When the last owner of an object is gone, the object is deleted. An owner deleted in the foreground waits for its
dependents; one deleted with orphans first takes its name off them.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kapi.codec.bodies import own
from kapi.errors import NotFound
from kapi.queue import Queue
from kapi.server.deleting import FOREGROUND, ORPHAN, Deleter
from kapi.server.history import Change
from kapi.server.kinds import Kind
from kapi.server.options import DeleteOptions, Options
from kapi.server.records import Record
from kapi.server.routes import Route
from kapi.server.state import State
from kapi.server.writing import Writer

Json = dict[str, Any]


class Node(NamedTuple):
    """One object in the graph of owners."""

    resource: str
    namespace: str
    name: str


class Collector:
    """Follows all objects, and deletes those whose owners are gone."""

    def __init__(self, kinds: tuple[Kind, ...], state: State, writer: Writer, deleter: Deleter) -> None:
        self._kinds = {kind.resource.qualified: kind for kind in kinds if kind.stored_as is None}
        self._served = {(kind.resource.api_version, kind.resource.kind) for kind in kinds}
        self._state = state
        self._writer = writer
        self._deleter = deleter
        self._alive: set[str] = set()
        self._dependents: dict[str, set[Node]] = {}
        self._work: Queue[Node] = Queue(longest=5.0)

    def start(self) -> None:
        """Take in what there is, and follow what changes."""
        for kind in self._kinds.values():
            collection = self._state.of(kind.resource)
            for record in collection.records():
                self._learn(kind, record, None)
            collection.watchers.add(lambda change, kind=kind: self._hear(kind, change))  # type: ignore[misc]  # a default binds the loop's value
        for kind in self._kinds.values():
            for record in self._state.of(kind.resource).records():
                self._consider(kind, record)

    async def run(self) -> None:
        """Do what follows from changes, for ever."""
        await self._work.work(self._settle)

    def _hear(self, kind: Kind, change: Change) -> None:
        if change.kind != "DELETED":
            self._learn(kind, change.record, change.previous)
            self._consider(kind, change.record)
            return
        record = change.record
        uid = record.object["metadata"]["uid"]
        self._alive.discard(uid)
        for owner in _owners(record):
            self._dependents.get(owner["uid"], set()).discard(_node(kind, record))
        for dependent in self._dependents.get(uid, ()):
            self._work.add(dependent)
        self._tell_owners(record)

    def _learn(self, kind: Kind, record: Record, previous: Record | None) -> None:
        self._alive.add(record.object["metadata"]["uid"])
        node = _node(kind, record)
        for owner in _owners(previous) if previous is not None else ():
            self._dependents.get(owner["uid"], set()).discard(node)
        for owner in _owners(record):
            self._dependents.setdefault(owner["uid"], set()).add(node)

    def _consider(self, kind: Kind, record: Record) -> None:
        """Ask for work where an object's owners are gone, or its deletion waits for those it owns."""
        meta = record.object["metadata"]
        waits = "deletionTimestamp" in meta and {ORPHAN, FOREGROUND} & set(meta.get("finalizers") or ())
        if waits or any(self._is_gone(owner) for owner in _owners(record)):
            self._work.add(_node(kind, record))

    def _is_gone(self, owner: Json) -> bool:
        return owner["uid"] not in self._alive and (owner.get("apiVersion"), owner.get("kind")) in self._served

    def _tell_owners(self, record: Record) -> None:
        """An owner that is deleted in the foreground may have waited for this one."""
        namespace = record.namespace
        for owner in _owners(record):
            for kind in self._kinds.values():
                if (kind.resource.api_version, kind.resource.kind) == (owner.get("apiVersion"), owner.get("kind")):
                    self._work.add(
                        Node(kind.resource.qualified, namespace if kind.resource.namespaced else "", owner["name"])
                    )

    async def _settle(self, node: Node) -> None:
        kind = self._kinds[node.resource]
        record = self._state.of(kind.resource).get(node.namespace, node.name)
        if record is None:
            return
        meta = record.object["metadata"]
        finalizers = meta.get("finalizers") or () if "deletionTimestamp" in meta else ()
        if ORPHAN in finalizers:
            await self._orphan(kind, record)
        elif FOREGROUND in finalizers:
            await self._foreground(kind, record)
        elif any(self._is_gone(owner) for owner in _owners(record)):
            await self._leave(kind, record)

    async def _leave(self, kind: Kind, record: Record) -> None:
        """Delete an object without owners, or take the owners that are gone off it."""
        remaining = [owner for owner in _owners(record) if not self._is_gone(owner)]
        meta = record.object["metadata"]
        if remaining:
            gone = {owner["uid"] for owner in _owners(record)} - {owner["uid"] for owner in remaining}
            await self._disown(kind, record, gone)
        elif "deletionTimestamp" not in meta:
            await self._delete(kind, record)

    async def _orphan(self, kind: Kind, record: Record) -> None:
        uid = record.object["metadata"]["uid"]
        for node in tuple(self._dependents.get(uid, ())):
            below = self._kinds[node.resource]
            dependent = self._state.of(below.resource).get(node.namespace, node.name)
            if dependent is not None:
                await self._disown(below, dependent, {uid})
        await self._release(kind, record, ORPHAN)

    async def _foreground(self, kind: Kind, record: Record) -> None:
        waiting = False
        for node in tuple(self._dependents.get(record.object["metadata"]["uid"], ())):
            below = self._kinds[node.resource]
            dependent = self._state.of(below.resource).get(node.namespace, node.name)
            if dependent is not None:
                waiting = True
                if "deletionTimestamp" not in dependent.object["metadata"]:
                    await self._delete(below, dependent)
        if not waiting:
            await self._release(kind, record, FOREGROUND)
        elif not self._dependents.get(record.object["metadata"]["uid"]):
            self._work.add(_node(kind, record))

    async def _delete(self, kind: Kind, record: Record) -> None:
        options = DeleteOptions(uid=record.object["metadata"]["uid"], propagation="Background")
        try:
            await self._deleter.delete(kind, record.namespace, record.name, options)
        except NotFound:
            return

    async def _disown(self, kind: Kind, record: Record, owners: set[str]) -> None:
        def change(current: Record) -> Json:
            obj: Json = own(current.object)
            obj["metadata"]["ownerReferences"] = [o for o in _owners(current) if o["uid"] not in owners]
            return obj

        await self._change(kind, record, change)

    async def _release(self, kind: Kind, record: Record, finalizer: str) -> None:
        def change(current: Record) -> Json:
            obj: Json = own(current.object)
            meta = obj["metadata"]
            meta["finalizers"] = [name for name in meta.get("finalizers") or () if name != finalizer]
            return obj

        await self._change(kind, record, change)

    async def _change(self, kind: Kind, record: Record, change: Any) -> None:
        try:
            await self._writer.change(Route(kind, record.namespace, record.name), change, Options())
        except NotFound:
            return


def _node(kind: Kind, record: Record) -> Node:
    return Node(kind.resource.qualified, record.namespace, record.name)


def _owners(record: Record) -> list[Json]:
    return record.object["metadata"].get("ownerReferences") or []
