"""The life of namespaces: each gets a `default` ServiceAccount, and one that is deleted is emptied before it goes."""

from __future__ import annotations

from typing import Any

from kapi.codec.bodies import own
from kapi.errors import AlreadyExists, Forbidden, NotFound
from kapi.queue import Queue
from kapi.resources import NAMESPACES, SERVICE_ACCOUNTS
from kapi.server.deleting import Deleter
from kapi.server.history import Change
from kapi.server.kinds import Kind
from kapi.server.options import DeleteOptions, Options
from kapi.server.records import Record
from kapi.server.routes import Route
from kapi.server.state import State
from kapi.server.writing import Writer

Json = dict[str, Any]


class NamespaceController:
    """Follows namespaces and what is in them."""

    def __init__(self, kinds: tuple[Kind, ...], state: State, writer: Writer, deleter: Deleter) -> None:
        self._namespace = next(kind for kind in kinds if kind.resource == NAMESPACES)
        self._account = next(kind for kind in kinds if kind.resource == SERVICE_ACCOUNTS)
        self._inside = tuple(kind for kind in kinds if kind.resource.namespaced)
        self._state = state
        self._writer = writer
        self._deleter = deleter
        self._work: Queue[str] = Queue(longest=5.0)

    def start(self) -> None:
        """Take in what there is, and follow what changes."""
        namespaces = self._state.of(NAMESPACES)
        for record in namespaces.records():
            self._work.add(record.name)
        namespaces.watchers.add(lambda change: self._work.add(change.record.name))
        for kind in self._inside:
            self._state.of(kind.resource).watchers.add(self._hear_inside)

    async def run(self) -> None:
        """Do what follows from changes, for ever."""
        await self._work.work(self._settle)

    def _hear_inside(self, change: Change) -> None:
        if change.kind != "DELETED":
            return
        namespace = self._state.of(NAMESPACES).get("", change.record.namespace)
        is_account = change.record.object["kind"] == "ServiceAccount" and change.record.name == "default"
        if namespace is not None and (is_account or "deletionTimestamp" in namespace.object["metadata"]):
            self._work.add(namespace.name)

    async def _settle(self, name: str) -> None:
        record = self._state.of(NAMESPACES).get("", name)
        if record is None:
            return
        if "deletionTimestamp" not in record.object["metadata"]:
            await self._give_account(name)
        elif await self._empty(name):
            await self._finalize(name)

    async def _give_account(self, namespace: str) -> None:
        if self._state.of(SERVICE_ACCOUNTS).get(namespace, "default") is not None:
            return
        head = {"apiVersion": "v1", "kind": "ServiceAccount"}
        account = head | {"metadata": {"name": "default", "namespace": namespace}}
        try:
            await self._writer.create(Route(self._account, namespace), account, Options())
        except (AlreadyExists, NotFound, Forbidden):
            return  # somebody else was quicker, in making the account or in deleting the namespace

    async def _empty(self, namespace: str) -> bool:
        """Delete what is in a namespace; says whether nothing is left."""
        left = 0
        for kind in self._inside:
            await self._deleter.delete_all(kind, namespace, Options(), DeleteOptions(propagation="Background"))
            left += sum(1 for _ in self._state.of(kind.resource).records(namespace))
        return left == 0

    async def _finalize(self, name: str) -> None:
        def change(record: Record) -> Json:
            obj: Json = own(record.object)
            others = [f for f in (obj.get("spec") or {}).get("finalizers") or () if f != "kubernetes"]
            obj["spec"] = {"finalizers": others}
            return obj

        try:
            await self._writer.change(Route(self._namespace, "", name, "finalize"), change, Options())
        except NotFound:
            return
