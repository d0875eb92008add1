"""Who has set which field: `metadata.managedFields`, as sets of paths. Pure.

A path is a tuple of steps as `fieldsV1` writes them: `f:name` a field, `k:{...}` an item of a list by its keys, `v:...`
a value of a set, `.` the item itself. https://github.com/kubernetes-sigs/structured-merge-diff
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from kapi.patch.shape import Shape

Json = dict[str, Any]
Path = tuple[str, ...]
Paths = frozenset[Path]

_NOBODYS = frozenset({"apiVersion", "kind", "status"})
_NOBODYS_META = frozenset(
    {"name", "namespace", "generateName", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}
    | {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}
)


def paths_of(obj: Json, shape: Shape) -> Paths:
    """Give the paths of all fields of an object that somebody can own."""
    found: set[Path] = set()
    for name, value in obj.items():
        if name == "metadata":
            rest = {part: item for part, item in value.items() if part not in _NOBODYS_META}
            found.update(_below(rest, ("f:metadata",), shape.field(name)))
        elif name not in _NOBODYS:
            found.update(_walk(value, (f"f:{name}",), shape.field(name)))
    return frozenset(found)


def _walk(value: Any, path: Path, shape: Shape) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        yield from _below(value, path, shape)
    elif isinstance(value, list) and shape.keys and all(shape.key_of(item) for item in value):
        for item in value:
            step = shape.key_of(item)
            yield (*path, step, ".")
            yield from _below(item, (*path, step), shape.item)
    elif isinstance(value, list) and shape.unique:
        yield from ((*path, "v:" + json.dumps(item)) for item in value)
    else:
        yield path


def _below(value: Json, path: Path, shape: Shape) -> Iterator[Path]:
    for name, item in value.items():
        yield from _walk(item, (*path, f"f:{name}"), shape.field(name))


def find(obj: Any, path: Path, shape: Shape) -> Any:
    """Give what is at a path; None where nothing is. An item itself, and a value of a set, count as True."""
    for step in path:
        if step == ".":
            return True
        if step.startswith("f:"):
            obj = obj.get(step[2:]) if isinstance(obj, dict) else None
            shape = shape.field(step[2:])
        elif not isinstance(obj, list):
            return None
        elif step.startswith("v:"):
            return True if json.loads(step[2:]) in obj else None
        else:
            obj = next((item for item in obj if shape.key_of(item) == step), None)
            shape = shape.item
    return obj


def remove(obj: Any, path: Path, shape: Shape) -> None:
    """Take away what is at a path, in place; nothing happens where nothing is."""
    parents = path[:-2] if path[-1] == "." else path[:-1]
    step = path[-2] if path[-1] == "." else path[-1]
    for part in parents:
        if part.startswith("f:"):
            obj = obj.get(part[2:]) if isinstance(obj, dict) else None
            shape = shape.field(part[2:])
        else:
            items = obj if isinstance(obj, list) else []
            obj = next((item for item in items if shape.key_of(item) == part), None)
            shape = shape.item
    if isinstance(obj, dict):
        obj.pop(step[2:], None)
    elif isinstance(obj, list) and step.startswith("v:"):
        obj[:] = [item for item in obj if item != json.loads(step[2:])]
    elif isinstance(obj, list):
        obj[:] = [item for item in obj if shape.key_of(item) != step]


def to_fields(paths: Iterable[Path]) -> Json:
    """Give paths in the form of `fieldsV1`."""
    root: Json = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
    return root


def from_fields(tree: Json | None) -> Paths:
    """Read paths from `fieldsV1`."""
    return frozenset(_leaves(tree or {}, ()))


def _leaves(tree: Json, path: Path) -> Iterator[Path]:
    for step, below in tree.items():
        if isinstance(below, dict) and below:
            yield from _leaves(below, (*path, step))
        else:
            yield (*path, step)


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
