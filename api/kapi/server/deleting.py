"""Deleting objects: at once, after a grace period, or when nobody holds them any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kapi.errors import Conflict, NotFound
from kapi.resources import NAMESPACES, PODS
from kapi.server import metadata, statuses
from kapi.server.kinds import Kind
from kapi.server.options import DeleteOptions, Options
from kapi.server.records import Record
from kapi.server.state import State
from kapi.server.writing import Writer
from kapi.store import Changed

Json = dict[str, Any]

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"

_TRIES = 100
_POD_GRACE = 30
_LONGEST_GRACE = 2**31 - 1  # seconds; beyond it there is no date to write down


class Deleter:
    """Deletes objects. All methods refuse with the Status that fits."""

    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> tuple[Record, bool]:
        """Delete an object. Gives it as it is now, and whether it is gone."""
        collection = self._state.of(kind.resource)
        for _ in range(_TRIES):
            current = collection.get(namespace, name)
            if current is None:
                raise statuses.not_found(kind.resource, name)
            _check(kind, current, options)
            try:
                return await self._delete(kind, current, options)
            except Changed:
                continue
        raise statuses.conflict(kind.resource, name)

    async def _delete(self, kind: Kind, current: Record, options: DeleteOptions) -> tuple[Record, bool]:
        write_options = Options(dry_run=options.dry_run)
        marked = _marked(kind, current.object, options, self._writer.now())
        if metadata.is_over(marked):
            return await self._writer.remove(current, write_options), True
        if marked == current.object:
            return current, False
        return await self._writer.put(kind, current, marked, write_options), False

    async def delete_all(self, kind: Kind, namespace: str, selection: Options, options: DeleteOptions) -> list[Record]:
        """Delete what a selection finds; gives what was deleted."""
        selects = selection.selects
        found = [r for r in self._state.of(kind.resource).ordered(namespace) if selects is None or selects(r.object)]
        for record in found:
            only_this = replace(options, uid=record.object["metadata"]["uid"])
            try:
                await self.delete(kind, record.namespace, record.name, only_this)
            except (NotFound, Conflict):
                continue  # somebody else was quicker: it is gone, or replaced by one that was not asked for
        return found


def _check(kind: Kind, current: Record, options: DeleteOptions) -> None:
    resource, meta = kind.resource, current.object["metadata"]
    if resource == NAMESPACES and current.name in IMMORTAL:
        raise statuses.forbidden(resource, current.name, "this namespace may not be deleted")
    for told, part in ((options.uid, "uid"), (options.version, "resourceVersion")):
        if told and told != meta[part]:
            word = "UID" if part == "uid" else "ResourceVersion"
            why = f"Precondition failed: {word} in precondition: {told}, {word} in object meta: {meta[part]}"
            raise statuses.conflict(resource, current.name, why)


def _marked(kind: Kind, obj: Json, options: DeleteOptions, now: str) -> Json:
    """Give an object with the marks of its deletion: when, after how long, and who must agree."""
    meta = {**obj["metadata"]}
    grace = _grace(kind, obj, options)
    finalizers = [f for f in meta.get("finalizers") or () if f not in (ORPHAN, FOREGROUND) or not options.propagation]
    if options.propagation == "Orphan":
        finalizers.append(ORPHAN)
    elif options.propagation == "Foreground":
        finalizers.append(FOREGROUND)
    meta["finalizers"] = finalizers
    if not finalizers:
        del meta["finalizers"]
    shortened = grace < meta.get("deletionGracePeriodSeconds", 0)
    if "deletionTimestamp" not in meta or shortened:
        if "deletionTimestamp" not in meta and "generation" in meta:
            meta["generation"] += 1
        meta["deletionTimestamp"] = _later(now, grace)
        meta["deletionGracePeriodSeconds"] = grace
    marked = {**obj, "metadata": meta}
    if kind.resource == NAMESPACES:
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return marked


def _grace(kind: Kind, obj: Json, options: DeleteOptions) -> int:
    """Seconds until the object goes. Only pods that a kubelet runs have any: it deletes them for good, with 0."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if kind.resource != PODS or not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return min(max(0, options.grace), _LONGEST_GRACE)
    asked = int(spec.get("terminationGracePeriodSeconds", _POD_GRACE))
    return 1 if asked < 0 else min(asked, _LONGEST_GRACE)  # a negative one counts as 1, as in the real API


def _later(now: str, seconds: int) -> str:
    moment = datetime.strptime(now, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
