"""Creating and changing objects: decide on the present version, write if it still is that, or else decide again."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from kapi.codec.bodies import own
from kapi.codec.owned import kept
from kapi.patch.owners import Owner, Owners
from kapi.resources import NAMESPACES, Resource
from kapi.server import metadata, owning, statuses
from kapi.server.admission import Admission
from kapi.server.fields import FieldError
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.records import Record
from kapi.server.routes import Route
from kapi.server.state import State, key_of
from kapi.store import NO_CLAIMS, Changed, Claims, Store, StoreError, Taken, TooLarge

Json = dict[str, Any]
Change = Callable[[Record], Json]

_NAME_TRIES = 8
_LONGEST_BASE = 58  # of a generated name: five characters follow
_CLAIM_TRIES = 20
_CLAIM_PAUSE = 0.05  # seconds in which one hears of what another server gave
_TIMELESS = ("scale",)  # subresources whose writes are recorded without a time
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, so no words
_MOST_TRIES = 100  # of a change that keeps losing against others; each loss means somebody else's success


class Reservation(Protocol):
    """Something that was set aside for an object while it is written."""

    @property
    def claims(self) -> Claims:
        """What the object takes and leaves, for servers that share the store."""
        ...

    def undo(self) -> None:
        """Give it back: the object was not written."""
        ...


class Allocator(Protocol):
    """Gives objects what there is only one of: addresses, ports."""

    def allocate(self, new: Json, old: Json | None) -> Reservation:
        """Fill in what `new` needs and does not name, and reserve what it names. Refuses with 422 or 500."""
        ...

    def held(self, obj: Json) -> tuple[str, ...]:
        """Give the names of what an object holds."""
        ...


class Writer:
    """Writes objects of every kind. All methods refuse with the Status that fits."""

    def __init__(
        self,
        state: State,
        store: Store,
        *,
        allocators: Mapping[Resource, Allocator],
        admissions: Mapping[Resource, Admission],
        clock: Callable[[], datetime],
    ) -> None:
        self._state = state
        self._store = store
        self._admissions = admissions
        self._allocators = {resource.qualified: allocator for resource, allocator in allocators.items()}
        self._clock = clock

    def now(self) -> str:
        """The present time as objects carry it."""
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    def owner(self, route: Route[Kind], options: Options, operation: str = "Update") -> Owner:
        """Give who owns what a request writes; of which fields is for the write to say."""
        now = "" if route.subresource in _TIMELESS else self.now()
        return Owner(options.writer, operation, route.kind.resource.api_version, now, {}, route.subresource)

    async def create(self, route: Route[Kind], obj: Json, options: Options, applied: Owners | None = None) -> Record:
        """Write a new object at `route`, whose name need not be there; `obj` is ours to change.

        `applied` is who owns its fields, where that is not simply its creator.
        """
        meta, kind, namespace = obj["metadata"], route.kind, route.namespace
        if kind.resource.namespaced:
            meta["namespace"] = namespace
            self._check_namespace(kind.resource, namespace, meta.get("name") or "")
        if not meta.get("name") and meta.get("generateName"):
            return await self._create_generated(kind, namespace, obj, options, applied)
        return await self._create(kind, namespace, obj, options, applied)

    async def _create_generated(
        self, kind: Kind, namespace: str, obj: Json, options: Options, applied: Owners | None
    ) -> Record:
        base = obj["metadata"]["generateName"][:_LONGEST_BASE]
        collection = self._state.of(kind.resource)
        name = ""
        for _ in range(_NAME_TRIES):
            name = base + "".join(random.choices(_SUFFIX, k=5))
            if collection.get(namespace if kind.resource.namespaced else "", name) is None:
                obj["metadata"]["name"] = name
                return await self._create(kind, namespace, obj, options, applied)
        raise statuses.already_exists(kind.resource, name, generated=True)

    async def _create(self, kind: Kind, namespace: str, obj: Json, options: Options, applied: Owners | None) -> Record:
        resource, name = kind.resource, obj["metadata"].get("name") or ""
        whose = self.owner(Route(kind, namespace, name), options)
        metadata.begin(kind, obj, uid=str(uuid.uuid4()), now=whose.time)
        if kind.has_status and not kind.status_at_creation:
            obj.pop("status", None)
        kind.default(obj)
        owned = owning.begun(kind, obj, whose) if applied is None else owning.packed(applied)
        admit = self._admissions.get(resource)
        if admit is not None:
            admit(obj)
        errors = metadata.errors_of(resource, obj) + kind.validate(obj, None)
        if errors:
            raise statuses.invalid(resource, name, errors)
        namespace = namespace if resource.namespaced else ""
        if self._state.of(resource).get(namespace, name) is not None:
            raise statuses.already_exists(resource, name)
        try:
            return await self._put(Route(kind, namespace, name), obj, owned, None, options)
        except Changed:
            raise statuses.already_exists(resource, name) from None

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        record = self._state.of(NAMESPACES).get("", namespace)
        if record is None:
            raise statuses.not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in record.object["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            told = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            raise statuses.forbidden(resource, name, why, [told | {"field": "metadata.namespace"}])

    async def change(self, route: Route[Kind], change: Change, options: Options, *, applied: bool = False) -> Record:
        """Write a new version of an object: `change` gives it, and is asked again where somebody was quicker.

        What `change` gives is ours. It may carry a resource version or a uid, which must then be the present ones.
        `applied` says that the managedFields in it are right as they are.
        """
        kind = route.kind
        collection = self._state.of(kind.resource)
        for _ in range(_MOST_TRIES):
            current = collection.get(route.namespace, route.name)
            if current is None:
                raise statuses.not_found(kind.resource, route.name)
            asked = change(current)
            given = asked["metadata"].pop("managedFields", None)
            new = self._prepare(kind, current.object, asked, route.subresource)
            if applied:
                owned = owning.applied(current.owned, given)
            else:
                whose = self.owner(route, options)
                owned = owning.continued(kind, current.object, new, current.owned, whose, given=given)
            if new == current.object and owned == current.owned:
                return current
            try:
                if metadata.is_over(new):
                    return await self.remove(current, options, new)
                return await self._put(route, new, owned, current, options)
            except Changed:
                continue
        raise statuses.conflict(kind.resource, route.name)

    def _prepare(self, kind: Kind, old: Json, new: Json, subresource: str) -> Json:
        """Give the object to write: what the client may change is taken from `new`, the rest from `old`."""
        resource = kind.resource
        metadata.check_update(resource, old, new)
        if subresource == "status":
            new = {**old, "status": new.get("status") or {}}
            self._refuse(kind, old, kind.validate_status(new))
            return new
        metadata.carry_over(old, new)
        if kind.has_status and not subresource:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        kind.adopt(new, old)
        kind.default(new)
        self._refuse(kind, old, metadata.errors_of(resource, new) + kind.validate(new, old))
        metadata.count_generation(kind, old, new)
        return new

    def _refuse(self, kind: Kind, old: Json, errors: list[FieldError]) -> None:
        if errors:
            raise statuses.invalid(kind.resource, old["metadata"]["name"], errors)

    async def put(self, kind: Kind, current: Record, obj: Json, options: Options) -> Record:
        """Write a version that was decided elsewhere. Raises `Changed` where `current` is no longer the present one."""
        return await self._put(Route(kind, current.namespace, current.name), obj, current.owned, current, options)

    async def _put(
        self, route: Route[Kind], obj: Json, owned: bytes, current: Record | None, options: Options
    ) -> Record:
        kind, namespace, name = route.kind, route.namespace, route.name
        key = key_of(kind.resource, namespace, name)
        if options.dry_run:
            return Record(key, namespace, name, current.version if current else 0, obj, owned)
        allocator = self._allocators.get(kind.resource.qualified)
        if allocator is None:
            version = await self._write(key, kept(obj, owned), current.version if current else 0)
        else:
            version = await self._put_allocated(key, obj, owned, current, allocator)
        written = self._state.of(kind.resource).get(namespace, name)
        if written is not None and written.version == version:
            return written
        return Record(key, namespace, name, version, obj, owned)

    async def _put_allocated(
        self, key: str, obj: Json, owned: bytes, current: Record | None, allocator: Allocator
    ) -> int:
        """Write an object with what it is given; with something else where another server was quicker to give it."""
        asked = own(obj)
        for left in reversed(range(_CLAIM_TRIES)):
            reservation = allocator.allocate(obj, current.object if current else None)
            if current is not None and (obj, owned) == (current.object, current.owned):  # all left out was given back
                return current.version
            try:
                at = current.version if current else 0
                return await self._write(key, kept(obj, owned), at, reservation.claims)
            except Taken as error:
                reservation.undo()
                if not left:
                    raise statuses.refuse(503, "ServiceUnavailable", str(error)) from error
            except BaseException:
                reservation.undo()
                raise
            obj.update(own(asked))
            await asyncio.sleep(_CLAIM_PAUSE)
        raise AssertionError("the last try returns or raises")

    async def remove(self, record: Record, options: Options, final: Json | None = None) -> Record:
        """Remove an object for good; `final` is its last content. Raises `Changed` where it is not that version."""
        obj = final or record.object
        if options.dry_run:
            return Record(record.key, record.namespace, record.name, record.version, obj, record.owned)
        allocator = self._allocators.get(record.key.partition("/")[0])
        claims = Claims(left=allocator.held(record.object)) if allocator else NO_CLAIMS
        version = await self._write(record.key, None, record.version, claims)
        last = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}
        return Record(record.key, record.namespace, record.name, version, last, record.owned)

    async def _write(self, key: str, obj: Json | None, expected: int, claims: Claims = NO_CLAIMS) -> int:
        try:
            return await self._store.write(key, obj, expected, claims)
        except (Changed, Taken):
            raise
        except TooLarge as error:
            raise statuses.too_large(str(error)) from error
        except StoreError as error:
            raise statuses.refuse(503, "ServiceUnavailable", f"the object was not stored: {error}") from error
