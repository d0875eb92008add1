"""Server-side apply: the object becomes what the manager says, as far as the manager says it. Pure.

A field is owned by those who set it. Another's field with another value is a conflict, unless the manager forces
it; a field that the manager no longer mentions, and nobody else owns, goes away. KEP-555. Of an object without a record
all there is belongs to "before-first-apply". What `kubectl apply` noted in its annotation is taken over without a
conflict by `kubectl apply --server-side`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from kapi.codec.bodies import own
from kapi.patch import owners as record
from kapi.patch.difference import Scope, difference_of, mentioned
from kapi.patch.owners import Owner, Owners
from kapi.patch.ownership import Fields, Path, difference, intersection, paths, remove, shown, union, with_parents
from kapi.patch.shape import Shape

Json = dict[str, Any]

_BEFORE = "before-first-apply"
_KUBECTL = "kubectl"  # the manager of `kubectl apply --server-side`
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Clash:
    """Fields that another manager owns with other values."""

    owner: Owner
    fields: Fields

    def __str__(self) -> str:
        owner = self.owner
        text = f'"{owner.manager}"'
        if owner.subresource:
            text += f' with subresource "{owner.subresource}"'
        return f"{text} using {owner.version}" if owner.operation == "Update" else text

    @property
    def paths(self) -> tuple[Path, ...]:
        """The fields one by one."""
        return tuple(paths(self.fields))


class ApplyConflict(Exception):
    """The manager does not own all the fields it sets; `clashes` says who does."""

    def __init__(self, clashes: tuple[Clash, ...]) -> None:
        self.clashes = tuple(sorted(clashes, key=lambda clash: clash.owner.identity))
        count = sum(len(clash.paths) for clash in clashes)
        if count == 1:
            (clash,) = clashes
            told = f"conflict with {clash}: {shown(clash.paths[0])}"
        else:
            told = "\n".join(line for clash in self.clashes for line in _lines(clash))
        super().__init__(f"Apply failed with {count} conflict{'s' if count > 1 else ''}: {told}")


def _lines(clash: Clash) -> list[str]:
    return [f"conflicts with {clash}:", *(f"- {shown(path)}" for path in clash.paths)]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a manager applies: its configuration, and who it is, with the fields that the configuration mentions."""

    config: Json
    by: Owner
    shape: Shape
    scope: Scope

    @classmethod
    def of(cls, config: Json, by: Owner, shape: Shape, scope: Scope) -> Applied:
        """Find what a configuration mentions."""
        return cls(config, by._replace(fields=mentioned(config, shape, scope)), shape, scope)

    def created(self) -> Owners:
        """Give the owners of the new object that it makes where there is none."""
        return (self.by,) if self.by.fields else ()

    def to(self, live: Json, owners: Owners, *, force: bool) -> tuple[Json, Owners]:
        """Give a new version of `live`, which is not changed, and its owners. Raises `ApplyConflict`."""
        owners = owners or self._before(live)
        mine = next((owner for owner in owners if owner.identity == self.by.identity), None)
        others = tuple(owner for owner in owners if owner is not mine)
        result = self._left(own(_merged(live, self.config, self.shape)), mine, others)
        found = difference_of(live, result, self.shape, self.scope)
        changed = union(found.added, found.modified)
        if not force:
            self._refuse(live, changed, others)
        if self.by.manager == _KUBECTL:
            _note(result, self.config)
        others = record.without(others, union(changed, found.removed))
        if result == live:  # only who owns what may have changed: that is not told with a time
            by = self.by._replace(time=mine.time if mine is not None else "")
            return result, record.ordered([*others, *([by] if by.fields else ())])
        return result, record.ordered([*others, *self.created()])

    def _before(self, live: Json) -> Owners:
        """Give the owner of all that is in an object without a record."""
        found = difference_of({}, live, self.shape, self.scope)
        before = Owner(_BEFORE, "Update", self.by.version, self.by.time, {}, self.by.subresource)
        return record.written((), before, found)

    def _left(self, merged: Json, mine: Owner | None, others: Owners) -> Json:
        """Give the merged object without what the manager no longer mentions and nobody else owns."""
        if mine is None:
            return merged
        held = reduce(union, (owner.fields for owner in others), self.by.fields)
        gone = difference(with_parents(mine.fields, self.shape), with_parents(held, self.shape))
        result: Json = remove(merged, gone, self.shape)
        return result

    def _refuse(self, live: Json, changed: Fields, others: Owners) -> None:
        shared = ((owner, intersection(owner.fields, changed)) for owner in others)
        if self.by.manager == _KUBECTL and (allowed := _noted(live, self.shape, self.scope)):
            shared = ((owner, difference(fields, allowed)) for owner, fields in shared)
        clashes = tuple(Clash(owner, fields) for owner, fields in shared if fields)
        if clashes:
            raise ApplyConflict(clashes)


def _noted(live: Json, shape: Shape, scope: Scope) -> Fields:
    """Give the fields that `kubectl apply` set last, by its annotation, and that still have those values."""
    try:
        last = json.loads((live["metadata"].get("annotations") or {}).get(_LAST_APPLIED) or "")
        if last["apiVersion"] != live["apiVersion"]:
            return {}
        found = difference_of(last, live, shape, scope)
        return difference(mentioned(last, shape, scope), union(found.modified, found.removed))
    except (ValueError, KeyError, TypeError, AttributeError):  # anyone can write an annotation
        return {}


def _note(obj: Json, config: Json) -> None:
    """Keep kubectl's annotation true, where there is one, so that one can go back to applying by the client."""
    annotations = obj["metadata"].get("annotations") or {}
    if _LAST_APPLIED in annotations:
        meta = {name: value for name, value in config["metadata"].items() if name != "managedFields"}
        annotations[_LAST_APPLIED] = json.dumps({**config, "metadata": meta}, separators=(",", ":")) + "\n"


def _merged(live: Any, config: Any, shape: Shape) -> Any:
    """Lay the configuration over the object: objects by field, lists by key, sets by value, all else replaced."""
    if shape.atomic:
        return config
    if isinstance(config, dict) and isinstance(live, dict):
        return live | {name: _merged(live.get(name), item, shape.field(name)) for name, item in config.items()}
    if not isinstance(config, list) or not isinstance(live, list):
        return config
    key_of: Callable[[Any], str] = json.dumps if shape.unique else shape.key_of
    if not shape.unique and not (shape.keys and all(key_of(item) for item in (*config, *live))):
        return config
    return _woven([(key_of(item), item) for item in live], {key_of(item): item for item in config}, shape.item)


def _woven(live: list[tuple[str, Any]], wanted: Json, item: Shape) -> list[Any]:
    """Give the items of both lists: those wanted in their order, each after the others that were before it.

    Of live items with the same key all stay, or one that is wanted takes the place of all.
    """
    known: Json = {}
    for key, value in live:
        known[key] = None if key in known else value
    result, left = [], list(wanted)
    for key, value in live:
        if key not in wanted:
            result.append(value)
        elif key in left:
            until = left.index(key) + 1
            result += [_merged(known.get(each), wanted[each], item) for each in left[:until]]
            left = left[until:]
    return result + [_merged(known.get(each), wanted[each], item) for each in left]
