"""Sets of fields, in the form of `fieldsV1`. Pure.

A set is a tree of steps: `f:name` a field, `k:{...}` an item of a list by its keys, `v:...` a value of a set. A step
with nothing below it is in the set; one with something below it is where `.` is there as well.
https://github.com/kubernetes-sigs/structured-merge-diff
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kapi.patch.shape import Shape

Fields = dict[str, Any]
Path = tuple[str, ...]

_ITSELF: Fields = {".": {}}


def is_member(node: Fields) -> bool:
    """Say whether what is below a step leaves that step in the set."""
    return not node or "." in node


def opened(node: Fields) -> Fields:
    """Give what is below a step with its own place in the set written out."""
    return node or _ITSELF


def closed(node: Fields) -> Fields:
    """Give what is below a step as `fieldsV1` has it: nothing, where only the step itself is in the set."""
    return {} if len(node) == 1 and "." in node else node


def union(one: Fields, other: Fields) -> Fields:
    """Give the fields of either set. Like all here it leaves its arguments as they are, and may share their parts."""
    result = dict(one)
    for step, below in other.items():
        known = result.get(step)
        result[step] = below if known is None or step == "." else closed(union(opened(known), opened(below)))
    return result


def difference(one: Fields, other: Fields) -> Fields:
    """Give the fields of the first set that are not in the second."""
    result: Fields = {}
    for step, below in one.items():
        if step not in other:
            result[step] = below
        elif step != "." and (rest := difference(opened(below), opened(other[step]))):
            result[step] = closed(rest)
    return result


def intersection(one: Fields, other: Fields) -> Fields:
    """Give the fields that are in both sets."""
    result: Fields = {}
    for step, below in one.items():
        if step not in other:
            continue
        if step == ".":
            result[step] = below
        elif shared := intersection(opened(below), opened(other[step])):
            result[step] = closed(shared)
    return result


def with_parents(fields: Fields, shape: Shape) -> Fields:
    """Give a set with the fields above each of its own: a part of which nothing is left goes as a whole.

    Items of lists and keys of maps are not added: they are in the set only if somebody has set them.
    """
    result: Fields = {}
    for step, below in fields.items():
        if step.startswith("f:"):
            inner = shape.field(step[2:])
            deeper = with_parents(below, inner) if below else below
            result[step] = {**deeper, ".": {}} if deeper and not shape.is_map else deeper
        else:
            result[step] = with_parents(below, shape.item) if below else below
    return result


def remove(value: Any, fields: Fields, shape: Shape) -> Any:
    """Give a value without the fields of a set, and without all that is below them."""
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            below = fields.get(f"f:{name}")
            if below is None:
                kept[name] = item
            elif not is_member(below):
                kept[name] = remove(item, below, shape.field(name))
        return kept
    if isinstance(value, list) and shape.unique:
        return [item for item in value if f"v:{json.dumps(item)}" not in fields]
    if isinstance(value, list) and shape.keys:
        found = ((item, fields.get(shape.key_of(item))) for item in value)
        return [
            item if below is None else remove(item, below, shape.item)
            for item, below in found
            if below is None or not is_member(below)
        ]
    return value


def paths(fields: Fields, above: Path = ()) -> Iterator[Path]:
    """Give the fields of a set one by one, in the order in which conflicts are told."""
    for step in sorted(fields):
        if step != "." and is_member(fields[step]):
            yield (*above, step)
    for step in sorted(fields):
        if fields[step]:
            yield from paths(fields[step], (*above, step))


def is_fields(tree: Any) -> bool:
    """Say whether a value has the form of `fieldsV1`."""
    return isinstance(tree, dict) and all(_is_step(step) and is_fields(below) for step, below in tree.items())


def _is_step(step: str) -> bool:
    if step == "." or step.startswith("f:"):
        return True
    try:
        value = json.loads(step[2:])
    except ValueError:
        return False
    return step.startswith("v:") or (step.startswith("k:") and isinstance(value, dict))


def shown(path: Path) -> str:
    """Write a path for people: `.spec.ports[port=80,protocol="TCP"].name`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            keys = json.loads(step[2:])
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys.items()) + "]"
        elif step.startswith("v:"):
            text += f"[={step[2:]}]"
    return text
