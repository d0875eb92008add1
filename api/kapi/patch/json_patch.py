"""JSON patch (RFC 6902), with the pointers of RFC 6901. Pure."""

from __future__ import annotations

import copy
from typing import Any

MOST_OPERATIONS = 10_000  # as many as a Kubernetes API server takes


class PatchError(ValueError):
    """A patch that is malformed, or does not fit the object; the message says where."""


def apply(target: Any, operations: list[Any]) -> Any:
    """Give `target` with the operations applied in order; `target` is not changed. Raises `PatchError`."""
    document = copy.deepcopy(target)
    for operation in operations:
        document = _apply_one(document, operation)
    return document


def _apply_one(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise PatchError(f"{operation!r} is not an operation with a path")
    path = _pointer(operation["path"])
    match operation.get("op"):
        case "add":
            return _add(document, path, _value(operation))
        case "replace":
            _get(document, path)
            return _put(document, path, _value(operation))
        case "remove":
            return _remove(document, path)
        case "move":
            source = _pointer(operation.get("from"))
            if path[: len(source)] == source and path != source:
                raise PatchError(f"{operation['from']} cannot be moved into itself")
            moved = _get(document, source)
            return _add(_remove(document, source), path, moved)
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _pointer(operation.get("from")))))
        case "test":
            if _get(document, path) != operation.get("value"):
                raise PatchError(f"testing value {operation['path']} failed")
            return document
    raise PatchError(f"unknown operation {operation.get('op')!r}")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError(f"{operation['op']} of {operation['path']} has no value")
    return copy.deepcopy(operation["value"])


def _pointer(text: Any) -> tuple[str, ...]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"{text!r} is not a JSON pointer")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def _index(items: list[Any], part: str, *, end: bool = False) -> int:
    if end and part == "-":
        return len(items)
    if not part.isdecimal() or (part != "0" and part.startswith("0")) or len(part) > 9:
        raise PatchError(f"{part!r} is not an index of a list")
    index = int(part)
    if index >= len(items) + end:
        raise PatchError(f"index {index} is out of range: the list has {len(items)} items")
    return index


def _step(parent: Any, part: str) -> Any:
    if isinstance(parent, dict):
        if part not in parent:
            raise PatchError(f"there is no {part!r}")
        return parent[part]
    if isinstance(parent, list):
        return parent[_index(parent, part)]
    raise PatchError(f"{part!r} is looked for in something that is no object or list")


def _get(document: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _put(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        parent[_index(parent, path[-1])] = value
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise PatchError(f"{path[-1]!r} cannot be set in something that is no object or list")
    return document


def _add(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if path:
        parent = _get(document, path[:-1])
        if isinstance(parent, list):
            parent.insert(_index(parent, path[-1], end=True), value)
            return document
    return _put(document, path, value)


def _remove(document: Any, path: tuple[str, ...]) -> Any:
    if not path:
        raise PatchError("the whole object cannot be removed")
    parent = _get(document, path[:-1])
    _step(parent, path[-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1])]
    else:
        del parent[path[-1]]
    return document
