"""What a write changes, and what a configuration mentions, as sets of fields. Pure.

Compared is what clients can own by a request: not what the server alone writes, not a status in a write of the rest.
"""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

from kapi.patch.ownership import Fields
from kapi.patch.shape import Shape

Json = dict[str, Any]
Scope = Literal["all", "status", "rest"]
"""What of an object a request can write: a status that is written by itself, or the rest, or all there is."""

_ASIDE = {"all": frozenset({"apiVersion", "kind", "metadata"})}  # of the metadata a part is put back
_ASIDE["rest"] = _ASIDE["all"] | {"status"}
_NOBODYS_META = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"}
    | {"deletionTimestamp", "deletionGracePeriodSeconds"}
)
# The parts of objects that are there even when they are empty: nobody brings them, so nobody owns them.
_ALWAYS_THERE = frozenset(
    {"metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "containers"}
    | {"loadBalancer", "source", "nodeInfo", "daemonEndpoints", "kubeletEndpoint"}
)


class Same(tuple[Any, ...]):
    """Items of one list that have the same key, in their order."""

    __slots__ = ()


class Difference(NamedTuple):
    """What came, changed and went between two versions of an object."""

    added: Fields
    modified: Fields
    removed: Fields


def difference_of(old: Json, new: Json, shape: Shape, scope: Scope) -> Difference:
    """Compare two versions of an object; `old` is {} for a new one."""
    found = Difference({}, {}, {})
    _maps(_ownable(old, scope), _ownable(new, scope), shape, found, outer=True)
    return found


def mentioned(config: Json, shape: Shape, scope: Scope) -> Fields:
    """Give the fields that a configuration says something of."""
    return _below(_ownable(config, scope), shape)


def _ownable(obj: Json, scope: Scope) -> Json:
    if scope == "status":
        return {"status": obj["status"]} if "status" in obj else {}
    if not obj:
        return obj
    aside = _ASIDE[scope]
    rest = {name: value for name, value in obj.items() if name not in aside}
    if meta := {name: value for name, value in obj["metadata"].items() if name not in _NOBODYS_META}:
        rest["metadata"] = meta
    return rest


def _maps(old: Json, new: Json, shape: Shape, found: Difference, *, outer: bool) -> None:
    """Compare two objects or maps; `outer` says that all around them is always there."""
    for name in (old | new) if old else new:
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        inner, there = shape.field(name), outer and name in _ALWAYS_THERE
        if there:
            before = type(after)() if before is None and after is not None else before
            after = type(before)() if after is None and before is not None else after
        if _is_empty(before, inner) and not there:
            if not _is_empty(after, inner):
                found.added[f"f:{name}"] = whole(after, inner)
        elif _is_empty(after, inner) and not there:
            found.removed[f"f:{name}"] = whole(before, inner)
        else:
            _one(f"f:{name}", before, after, inner, found, outer=there)


def _is_empty(value: Any, shape: Shape) -> bool:
    """Whether there is nothing: lists and maps without anything in them are as good as not there."""
    return value is None or (not value and (shape.is_map or isinstance(value, list)))


def _one(step: str, before: Any, after: Any, shape: Shape, found: Difference, *, outer: bool = False) -> None:
    """Compare what is at a step in both versions, and is not the same."""
    below = Difference({}, {}, {})
    if shape.atomic:
        found.modified[step] = {}
    elif isinstance(before, dict) and isinstance(after, dict):
        _maps(before, after, shape, below, outer=outer)
    elif (items := _items(before, shape)) is not None and (others := _items(after, shape)) is not None:
        _lists(items, others, shape, below)
    else:
        found.modified[step] = {}
    for part, inner in zip(found, below, strict=True):
        if inner:
            part[step] = inner


def _lists(old: Json, new: Json, shape: Shape, found: Difference) -> None:
    item = shape.item
    for step, after in new.items():
        before = old.get(step)
        if before is None:
            found.added[step] = whole(after, item)
        elif before != after and isinstance(before, Same) is isinstance(after, Same):
            _one(step, before, after, item, found)
        elif before != after:
            found.added[step], found.removed[step] = whole(after, item), whole(before, item)
    for step, before in old.items():
        if step not in new:
            found.removed[step] = whole(before, item)


def _items(value: Any, shape: Shape) -> Json | None:
    """Give a list's items by their steps; None for what is no list, or one that is always replaced.

    Items that share a key, as variables of an environment may, are owned together.
    """
    if not isinstance(value, list):
        return None
    if shape.unique:
        return {f"v:{json.dumps(item)}": item for item in value}
    if not shape.keys:
        return None
    found: Json = {}
    for item in value:
        step = shape.key_of(item)
        if not step:
            return None
        found[step] = Same((*_each(found[step]), item)) if step in found else item
    return found


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, Same) else (value,)


def whole(value: Any, shape: Shape) -> Fields:
    """Give all that is in a value, below the step that leads to it: what somebody owns who brings it."""
    if shape.atomic or not isinstance(value, (dict, list)):
        return {}
    if isinstance(value, dict):
        found: Fields = {f"f:{name}": whole(item, shape.field(name)) for name, item in value.items()}
    else:
        inner = shape.item
        found = {step: whole(item, inner) for step, item in (_items(value, shape) or {}).items()}
    if found:
        found["."] = {}
    return found


def _below(value: Json, shape: Shape) -> Fields:
    """Give what is mentioned in an object or map: not its parts, but what is in them, or that they are empty."""
    found: Fields = {}
    for name, item in value.items():
        inner = shape.field(name)
        if inner.atomic or not isinstance(item, (dict, list)):
            found[f"f:{name}"] = {}
        elif isinstance(item, dict):
            fields = _below(item, inner)
            found[f"f:{name}"] = {**fields, ".": {}} if fields and shape.is_map else fields
        elif (items := _items(item, inner)) is None:
            found[f"f:{name}"] = {}
        elif items:
            found[f"f:{name}"] = {step: _item(part, inner.item) for step, part in items.items()}
    return found


def _item(value: Any, shape: Shape) -> Fields:
    fields = _below(value, shape) if isinstance(value, dict) and not shape.atomic else {}
    return {**fields, ".": {}} if fields else {}
