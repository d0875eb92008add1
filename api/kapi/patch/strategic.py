"""Strategic merge patch: a merge patch that knows which lists are merged item by item. Pure.

Directives: $patch (replace, delete, merge), $retainKeys, $deleteFromPrimitiveList/x, $setElementOrder/x.
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

from typing import Any

from kapi.patch.json_patch import PatchError
from kapi.patch.shape import Shape

Json = dict[str, Any]

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"
_PATCH = "$patch"


def merge(target: Any, patch: Json, shape: Shape) -> Json:
    """Give `target` with `patch` applied; neither is changed, and parts may be shared. Raises `PatchError`."""
    directive = patch.get(_PATCH, "merge")
    if directive == "delete":
        return {}
    if directive not in ("merge", "replace"):
        raise PatchError(f"unknown directive $patch: {directive!r}")
    result = dict(target) if isinstance(target, dict) and directive == "merge" else {}
    if _RETAIN in patch:
        kept = set(_list(patch[_RETAIN], _RETAIN))
        result = {name: value for name, value in result.items() if name in kept}
    for name, value in patch.items():
        if name.startswith(_DELETE):
            field = name.removeprefix(_DELETE)
            gone = _list(value, name)
            result[field] = [item for item in result.get(field) or () if item not in gone]
        elif not name.startswith("$"):
            _set(result, name, value, shape.field(name))
    for name, value in patch.items():
        if name.startswith(_ORDER):
            field = name.removeprefix(_ORDER)
            if isinstance(result.get(field), list):
                result[field] = _ordered(result[field], _list(value, name), shape.field(field).key)
    return result


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise PatchError(f"{name} must be a list")
    return value


def _set(result: Json, name: str, value: Any, shape: Shape) -> None:
    if value is None:
        result.pop(name, None)
    elif isinstance(value, dict):
        if value.get(_PATCH) == "delete":
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value, shape)
    elif isinstance(value, list):
        before = result.get(name)
        result[name] = _merge_list(before if isinstance(before, list) else [], value, shape)
    else:
        result[name] = value


def _merge_list(before: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    if shape.unique:
        return before + [item for item in patch if item not in before]
    if any(isinstance(item, dict) and item.get(_PATCH) == "replace" for item in patch):
        return [_clean(item) for item in patch if not (isinstance(item, dict) and item.get(_PATCH) == "replace")]
    if not shape.key:
        return [_clean(item) for item in patch]
    result = list(before)
    for item in patch:
        _merge_item(result, item, shape)
    return result


def _merge_item(items: list[Any], item: Any, shape: Shape) -> None:
    key = shape.key
    if not isinstance(item, dict) or key not in item:
        raise PatchError(f"an item of the patch has no {key!r}, which joins it to an item of the object")
    same = [i for i, old in enumerate(items) if isinstance(old, dict) and old.get(key) == item[key]]
    if item.get(_PATCH) == "delete":
        for index in reversed(same):
            del items[index]
    elif same:
        items[same[0]] = merge(items[same[0]], item, shape.item)
    else:
        items.append(merge({}, item, shape.item))


def _clean(item: Any) -> Any:
    """Take directives out of what replaces or is new."""
    return merge({}, item, Shape()) if isinstance(item, dict) else item


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Bring items into the order the client asks for; those it does not name follow."""

    def name_of(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [name_of(item) for item in order]
    named = [item for name in wanted for item in items if name_of(item) == name]
    return named + [item for item in items if name_of(item) not in wanted]
