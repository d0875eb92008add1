"""Label and field selectors: their text form, and what they match. Pure.

Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api and
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]


class SelectorError(ValueError):
    """A selector that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether `labels` satisfy this term."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "=" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
        bound = next(iter(self.values))
        if value is None or not _INTEGER.fullmatch(value):
            return False
        return int(value) > int(bound) if self.operator == ">" else int(value) < int(bound)


_INTEGER = re.compile(r"-?[0-9]{1,18}")
_KEY = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9.]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_TERM = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_KEY})"
    rf"|(?P<set>{_KEY})\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)"
    rf"|(?P<key>{_KEY})\s*(?P<op>==|=|!=|>|<)\s*(?P<value>[^,()\s=!]*)"
    rf"|(?P<present>{_KEY}))\s*"
)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a label selector such as `app=web,tier in (a, b),!canary`. Raises `SelectorError`."""
    found: list[Requirement] = []
    position = 0
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None or (term.end() < len(text) and text[term.end()] != ","):
            raise SelectorError(f"unable to parse requirement: {text[position:]!r} is not a selector term")
        found.append(_requirement(term))
        position = term.end() + 1
        if position == len(text):
            raise SelectorError("unable to parse requirement: a term is missing after the last comma")
    return tuple(found)


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["absent"], "!")
    if term["present"]:
        return Requirement(term["present"], "exists")
    if term["set"]:
        values = frozenset(_value(value.strip()) for value in term["values"].split(","))
        return Requirement(term["set"], "in" if term["how"] == "in" else "notin", values)
    operator: Operator = {"=": "=", "==": "=", "!=": "!=", ">": ">", "<": "<"}[term["op"]]  # type: ignore[assignment]  # the expression admits only these
    if operator in "<>" and not _INTEGER.fullmatch(term["value"]):
        raise SelectorError(f"unable to parse requirement: {term['value']!r} after {operator!r} is not an integer")
    return Requirement(term["key"], operator, frozenset([_value(term["value"])]))


def _value(text: str) -> str:
    if not _VALUE.fullmatch(text):
        raise SelectorError(f"unable to parse requirement: values: Invalid value: {text!r} is not a label value")
    return text


def matches_labels(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Say whether all terms hold."""
    return all(requirement.matches(labels) for requirement in requirements)


def from_object(selector: Json | None) -> tuple[Requirement, ...] | None:
    """Read a LabelSelector object (`matchLabels`, `matchExpressions`); None selects nothing. Raises `SelectorError`."""
    if selector is None:
        return None
    found = [Requirement(k, "=", frozenset([v])) for k, v in (selector.get("matchLabels") or {}).items()]
    operators: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for term in selector.get("matchExpressions") or ():
        operator = operators.get(term.get("operator"))
        if operator is None:
            raise SelectorError(f"{term.get('operator')!r} is not a valid label selector operator")
        found.append(Requirement(term["key"], operator, frozenset(term.get("values") or ())))
    return tuple(found)


def to_text(requirements: tuple[Requirement, ...]) -> str:
    """Give a selector's canonical text, as `status.selector` of a scale carries it."""
    return ",".join(_text(requirement) for requirement in sorted(requirements, key=lambda r: r.key))


def _text(requirement: Requirement) -> str:
    values = ",".join(sorted(requirement.values))
    match requirement.operator:
        case "exists":
            return requirement.key
        case "!":
            return f"!{requirement.key}"
        case "in" | "notin":
            return f"{requirement.key} {requirement.operator} ({values})"
    return f"{requirement.key}{requirement.operator}{values}"


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One term of a field selector: a JSON path, and the value it must (or must not) have."""

    path: str
    value: str
    equal: bool = True

    def matches(self, obj: Json) -> bool:
        """Say whether the object satisfies this term; a field that is absent counts as empty."""
        return (field_text(obj, self.path) == self.value) is self.equal


_FIELD = re.compile(r"([^=!,]+?)(==|=|!=)((?:[^,\\=]|\\.)*)")


def parse_fields(text: str) -> tuple[FieldTerm, ...]:
    """Read a field selector such as `status.phase!=Running,spec.nodeName=a`. Raises `SelectorError`."""
    found: list[FieldTerm] = []
    for part in re.split(r"(?<!\\),", text):
        if not part:
            continue
        term = _FIELD.fullmatch(part)
        if term is None:
            raise SelectorError(f"invalid selector: {text!r}; can't understand {part!r}")
        found.append(FieldTerm(term[1].strip(), re.sub(r"\\(.)", r"\1", term[3]), term[2] != "!="))
    return tuple(found)


def field_text(obj: Json, path: str) -> str:
    """Give the field at a dotted path as a selector sees it; "" where there is none."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def matcher(labels: tuple[Requirement, ...], fields: tuple[FieldTerm, ...]) -> Callable[[Json], bool] | None:
    """Join both kinds of selector into one question about an object; None where everything matches."""
    if not labels and not fields:
        return None

    def matches(obj: Json) -> bool:
        return all(term.matches(obj) for term in fields) and (
            not labels or matches_labels(labels, obj["metadata"].get("labels") or {})
        )

    return matches
