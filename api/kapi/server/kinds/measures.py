"""What an autoscaler measures, as version 1 of the API carries it in annotations: all but the use of the CPU. Pure.

What version 1 has no fields for is in annotations while it is read and written there, and in fields where it is kept.
The forms are those of https://kubernetes.io/docs/reference/kubernetes-api/ for autoscaling/v2beta1, whose fields have
one name for each value where version 2 has a path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]

_METRIC, _SELECTOR = ("metric", "name"), ("metric", "selector")
_FORMS: dict[str, tuple[str, dict[str, Path]]] = {  # the part for each type, and what identifies a measure there
    "Resource": ("resource", {"name": ("name",)}),
    "ContainerResource": ("containerResource", {"name": ("name",), "container": ("container",)}),
    "Pods": ("pods", {"metricName": _METRIC, "selector": _SELECTOR}),
    "Object": ("object", {"target": ("describedObject",), "metricName": _METRIC, "selector": _SELECTOR}),
    "External": ("external", {"metricName": _METRIC, "metricSelector": _SELECTOR}),
}
_VALUES = {"AverageValue": "averageValue", "Value": "value", "Utilization": "averageUtilization"}


def _names(kind: str, end: str) -> dict[str, Path]:
    """Give the names of a type's fields, and where version 2 has them; `end` is "target" or "current"."""
    values = {end + value[0].upper() + value[1:]: (end, value) for value in _VALUES.values()}
    if kind == "Object":
        values["averageValue"] = values.pop(f"{end}AverageValue")
    return _FORMS[kind][1] | values


def written(measures: Any, end: str) -> str:
    """Write measures of version 2 as an annotation; "" for none. What cannot be written so is left out."""
    found = [_shown(one, end) for one in measures if isinstance(one, dict) and _is_known(one)]
    return text_of(found) if found else ""


def _shown(measure: Json, end: str) -> Json:
    kind = measure["type"]
    part, values = _FORMS[kind][0], {}
    for name, path in _names(kind, end).items():
        if (value := found(measure.get(part), path)) is not None:
            values[name] = value
    return {"type": kind, part: values}


def read(text: Any, end: str) -> list[Json]:
    """Read the measures in an annotation; what is none is left out: anyone can write an annotation."""
    given = parsed(text)
    given = given if isinstance(given, list) else []
    return [_taken(one, end) for one in given if isinstance(one, dict) and _is_known(one)]


def _taken(measure: Json, end: str) -> Json:
    kind = measure["type"]
    part: str = _FORMS[kind][0]
    values: Json = {}
    for name, path in _names(kind, end).items():
        if (value := found(measure.get(part), (name,))) is not None:
            _put(values, path, value)
    if end == "target":
        wanted = values.setdefault(end, {})
        wanted["type"] = next((name for name, field in reversed(_VALUES.items()) if field in wanted), "Value")
    return {"type": kind, part: values}


def _is_known(measure: Json) -> bool:
    kind = measure.get("type")
    return isinstance(kind, str) and kind in _FORMS


def found(value: Any, path: Path) -> Any:
    """Give what is at a path; None where there is nothing."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _put(values: Json, path: Path, value: Any) -> None:
    for step in path[:-1]:
        values = values.setdefault(step, {})
    values[path[-1]] = value


def behavior_written(behavior: Any) -> str:
    """Write how fast to scale as an annotation, in which the fields' names begin with capitals."""
    return text_of(_renamed(behavior, str.upper))


def behavior_read(text: Any) -> Any:
    """Read an annotation of how fast to scale; None for what is none."""
    given = parsed(text)
    return _renamed(given, str.lower) if isinstance(given, dict) else None


def _renamed(value: Any, case: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {case(name[:1]) + name[1:]: _renamed(item, case) for name, item in value.items() if item is not None}
    return [_renamed(item, case) for item in value] if isinstance(value, list) else value


def parsed(text: Any) -> Any:
    """Read JSON that somebody wrote into an annotation; None for what is none."""
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return None


def text_of(value: Any) -> str:
    """Write JSON as annotations have it."""
    return json.dumps(value, separators=(",", ":"))
