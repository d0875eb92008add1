"""Who has set which fields of an object: `metadata.managedFields`, from its creation on. Pure.

Whoever writes owns what the write changed, and others no longer do; what is gone is nobody's. Server-side apply
(`kapi.patch.apply`) goes by it. https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from kapi.patch.difference import Difference
from kapi.patch.ownership import Fields, difference, is_fields, union

Json = dict[str, Any]

_MOST_UPDATERS = 10  # entries of ordinary writes; older ones are put together
_ANCIENT = "ancient-changes"
_RESET: tuple[list[Json], ...] = ([], [{}])  # what a client sends as managedFields to end the record


class Owner(NamedTuple):
    """One entry: who has written, how, in which version of the API, when, by which subresource; and what is owned."""

    manager: str
    operation: str
    version: str
    time: str
    fields: Fields
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells one owner from another; whoever applies does so in one version at a time."""
        return (self.manager, self.operation, self.version if self.operation == "Update" else "", self.subresource)

    def same(self, other: Owner) -> bool:
        """Whether nothing differs but the time."""
        return self.identity == other.identity and self.version == other.version and self.fields == other.fields


Owners = tuple[Owner, ...]


def written(owners: Owners, writer: Owner, found: Difference) -> Owners:
    """Give the owners after an ordinary write that made a difference; of `writer`, the fields are not looked at."""
    changed = union(found.added, found.modified) if found.modified else found.added
    if not owners:
        return (writer._replace(fields=changed),) if changed else ()
    lost = union(changed, found.removed)
    kept = without(owners, lost)
    if not changed:
        return kept
    before = next((owner for owner in kept if owner.identity == writer.identity), None)
    mine = writer._replace(fields=union(before.fields, changed) if before is not None else changed)
    return _capped([*(owner for owner in kept if owner is not before), mine])


def without(owners: Iterable[Owner], lost: Fields) -> Owners:
    """Give owners without some fields; those who have no others are left out."""
    if not lost:
        return tuple(owners)
    rest = (owner._replace(fields=difference(owner.fields, lost)) for owner in owners)
    return tuple(owner for owner in rest if owner.fields)


_PLACE = attrgetter("operation", "time", "manager", "version", "subresource")


def ordered(owners: Iterable[Owner]) -> Owners:
    """Give owners in the order in which objects show them."""
    return tuple(sorted(owners, key=_PLACE))


def unchanged(owners: Owners, before: Owners) -> bool:
    """Whether two records differ in times at most."""
    return len(owners) == len(before) and all(any(one.same(other) for other in before) for one in owners)


def _capped(owners: list[Owner]) -> Owners:
    """Put the oldest of too many ordinary writers together, for each version of the API."""
    updaters = [owner for owner in ordered(owners) if owner.operation == "Update"]
    excess = len(updaters) - _MOST_UPDATERS
    if excess <= 0:
        return ordered(owners)
    others = [owner for owner in owners if owner.operation != "Update"]
    merged: dict[str, Owner] = {}
    for owner in updaters:
        first = merged.get(owner.version)
        if excess <= 0:
            others.append(owner)
        elif first is None:
            merged[owner.version] = owner
        else:
            fields = union(first.fields, owner.fields)
            merged[owner.version] = Owner(_ANCIENT, "Update", owner.version, owner.time, fields)
            excess -= 1
    return ordered([*merged.values(), *others])


def is_reset(given: Any) -> bool:
    """Say whether what a client sends as managedFields ends the record."""
    return given in _RESET


def read(entries: Any) -> Owners | None:
    """Read managedFields; None for what cannot be a record, which the API leaves aside."""
    if not entries or not all(_is_entry(entry) for entry in entries):
        return None
    return tuple(
        Owner(
            entry["manager"],
            entry["operation"],
            entry.get("apiVersion") or "",
            entry.get("time") or "",
            entry["fieldsV1"],
            entry.get("subresource") or "",
        )
        for entry in entries
    )


def _is_entry(entry: Json) -> bool:
    return bool(
        entry.get("operation") in ("Apply", "Update")
        and entry.get("manager")
        and entry.get("fieldsType") == "FieldsV1"
        and is_fields(entry.get("fieldsV1"))
    )


def shown(owners: Owners) -> list[Json]:
    """Give owners as managedFields."""
    return [_entry(owner) for owner in owners]


def _entry(owner: Owner) -> Json:
    entry: Json = {"manager": owner.manager, "operation": owner.operation, "apiVersion": owner.version}
    if owner.time:
        entry["time"] = owner.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": owner.fields}
    return entry | ({"subresource": owner.subresource} if owner.subresource else {})
