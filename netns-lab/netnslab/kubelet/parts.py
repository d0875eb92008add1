"""Reads parts of the API's JSON, whatever they are: one that is not what it should be is left out, and named. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

from kapi.network import Problem

Json = dict[str, Any]
T = TypeVar("T")

MOST_SECONDS = 2**31 - 1  # what fits the API's own int32


def each(
    items: Any, path: str, read_one: Callable[[Json, str, list[Problem]], T | None], problems: list[Problem]
) -> tuple[T, ...]:
    """Read every item of a list, leaving out (and naming) those that cannot be read."""
    if items is not None and not isinstance(items, list):
        problems.append(Problem(path, f"{items!r:.80} is not a list"))
        return ()
    found: list[T] = []
    for index, item in enumerate(items or ()):
        where = f"{path}[{index}]"
        try:
            value = read_one(item, where, problems) if isinstance(item, dict) else None
        except ValueError as error:
            problems.append(Problem(where, str(error)))
            continue
        if value is None:
            problems.append(Problem(where, f"{item!r:.80} is not an object"))
        else:
            found.append(value)
    return tuple(found)


def needed(item: Json, name: str) -> str:
    """A text that has to be there. Raises ValueError."""
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing" if value in (None, "") else f"{name} {value!r:.80} is not a text")
    return value


def mapping(value: Any) -> Json:
    """An object, empty where there is none."""
    return value if isinstance(value, dict) else {}


def text(value: Any) -> str:
    """A text, empty where there is none."""
    return value if isinstance(value, str) else ""


def strings(value: Any, *, empty: bool = False) -> tuple[str, ...]:
    """The texts of a list, those without a letter only if `empty`."""
    items = value if isinstance(value, list) else ()
    return tuple(item for item in items if isinstance(item, str) and (item or empty))


def labels(value: Any) -> Mapping[str, str]:
    """The texts of an object, by name."""
    return {name: item for name, item in mapping(value).items() if isinstance(item, str)}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number that can be counted with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value  # noqa: PLR0124  # not NaN


def seconds(item: Json, name: str, default: float) -> float:
    """A number of seconds that is not negative."""
    value = item.get(name)
    return max(0, min(value, MOST_SECONDS)) if is_number(value) else default
