"""Lists of a configuration in which one key comes twice: which of the two it means nobody can say. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from kapi.patch.ownership import Path, shown
from kapi.patch.shape import Shape


def duplicates(value: Any, shape: Shape, above: Path = ()) -> Iterator[str]:
    """Tell of each item that has the key of an earlier one, in the words of Kubernetes."""
    if shape.atomic:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from duplicates(item, shape.field(name), (*above, f"f:{name}"))
    elif isinstance(value, list) and shape.unique:
        yield from _twice(value, lambda item: f"v:{json.dumps(item)}", above)
    elif isinstance(value, list) and shape.keys:
        yield from _twice(value, shape.key_of, above)
        for item in value:
            yield from duplicates(item, shape.item, (*above, shape.key_of(item)))


def _twice(items: list[Any], key_of: Callable[[Any], str], above: Path) -> Iterator[str]:
    for step, count in Counter(map(key_of, items)).items():
        for _ in range(count - 1 if step else 0):
            yield f"{shown(above)}: duplicate entries for key {shown((step,))}"
