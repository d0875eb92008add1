"""The nodes that a pod asks for by its required node affinity. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#node-affinity
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kapi.selectors import Operator, Requirement

Json = dict[str, Any]
Term = tuple[Requirement, ...]

NAME = "@metadata.name"
"""Stands for the field `metadata.name` among the labels of a node: no label can be called so."""

_OPERATORS: dict[str, Operator] = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": ">",
    "Lt": "<",
}


def terms(affinity: Json) -> tuple[Term, ...] | None:
    """Read the terms of which one must hold; None where a pod asks for nothing.

    A term that cannot be read, and one that says nothing, never holds: they are left out.
    """
    needed = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if needed is None:
        return None
    found = (tuple(_requirements(term)) for term in needed.get("nodeSelectorTerms") or ())
    return tuple(tuple(one for one in term if one) for term in found if term and all(term))


def _requirements(term: Json) -> Iterator[Requirement | None]:
    for one in term.get("matchExpressions") or ():
        yield _requirement(one, one.get("key") or "")
    for one in term.get("matchFields") or ():
        yield _requirement(one, f"@{one.get('key')}")


def _requirement(expression: Json, key: str) -> Requirement | None:
    """Read one; None for one that no node can meet as it makes no sense."""
    operator, values = _OPERATORS.get(expression.get("operator") or ""), frozenset(expression.get("values") or ())
    if operator is None or (operator in "<>" and not (len(values) == 1 and _is_number(*values))):
        return None
    return Requirement(key, operator, values)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isascii() and text.removeprefix("-").isdecimal()
