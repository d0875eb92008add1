"""One measured figure, beside what it should be."""

from __future__ import annotations

from typing import Literal, TypedDict


class Row(TypedDict):
    """`target` is None for a figure that is shown for comparison only; `met` is then None too."""

    name: str
    value: float
    unit: str
    target: str | None
    met: bool | None


def row(
    name: str, value: float, unit: str, *, most: float | None = None, least: float | None = None, digits: int = 3
) -> Row:
    """Make a row that is met when `value` is at most `most`, or at least `least`."""
    sign: Literal["<=", ">="] = "<=" if most is not None else ">="
    bound = most if most is not None else least
    if bound is None:
        return Row(name=name, value=round(value, digits), unit=unit, target=None, met=None)
    met = value <= bound if sign == "<=" else value >= bound
    return Row(name=name, value=round(value, digits), unit=unit, target=f"{sign} {bound:g}", met=met)
