"""Node affinities of pods, and taints of nodes: which of them make no sense. Pure."""

from __future__ import annotations

from typing import Any

from kapi.server.fields import FieldError, forbidden, invalid, required, unsupported
from kapi.server.names import key_errors

Json = dict[str, Any]

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_UNKNOWN = "not a valid selector operator"


def affinity_errors(spec: Json, path: str) -> list[FieldError]:
    """Say what is wrong with the node affinity in a pod's specification."""
    given = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}.affinity.nodeAffinity"
    errors: list[FieldError] = []
    if (needed := given.get(_REQUIRED)) is not None:
        terms, listed = needed.get("nodeSelectorTerms") or (), f"{where}.{_REQUIRED}.nodeSelectorTerms"
        if not terms:
            errors.append(required(listed, "must have at least one node selector term"))
        for index, term in enumerate(terms):
            errors += _term_errors(term, f"{listed}[{index}]")
    for index, wish in enumerate(given.get(_PREFERRED) or ()):
        errors += _term_errors(wish.get("preference") or {}, f"{where}.{_PREFERRED}[{index}].preference")
    return errors


def _term_errors(term: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, one in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        errors += _label_errors(one, where) + key_errors(one.get("key") or "", f"{where}.key", one.get("key") or "")
    for index, one in enumerate(term.get("matchFields") or ()):
        errors += _field_errors(one, f"{path}.matchFields[{index}]")
    return errors


def _label_errors(expression: Json, path: str) -> list[FieldError]:
    values, where = expression.get("values") or (), f"{path}.values"
    match expression.get("operator"):
        case "In" | "NotIn":
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            return [] if values else [required(where, text)]
        case "Exists" | "DoesNotExist":
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            return [forbidden(where, text)] if values else []
        case "Gt" | "Lt":
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            return [] if len(values) == 1 else [required(where, text)]
        case operator:
            return [invalid(f"{path}.operator", operator or "", _UNKNOWN)]


def _field_errors(expression: Json, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, key = expression.get("operator") or "", expression.get("key") or ""
    if operator not in ("In", "NotIn"):
        errors.append(invalid(f"{path}.operator", operator, _UNKNOWN))
    elif len(expression.get("values") or ()) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{path}.values", text))
    if key != "metadata.name":
        errors.append(invalid(f"{path}.key", key, "not a valid field selector key"))
    return errors


def taint_errors(new: Json, _: Json | None) -> list[FieldError]:
    """Say what is wrong with the taints of a node."""
    errors: list[FieldError] = []
    for index, taint in enumerate((new.get("spec") or {}).get("taints") or ()):
        path, key, effect = f"spec.taints[{index}]", taint.get("key") or "", taint.get("effect") or ""
        errors += key_errors(key, f"{path}.key", key)
        if not effect:
            errors.append(required(f"{path}.effect"))
        elif effect not in _EFFECTS:
            errors.append(unsupported(f"{path}.effect", effect, _EFFECTS))
    return errors
