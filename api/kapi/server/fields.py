"""What is wrong with a field, said as Kubernetes says it. Pure.

The form is `path: <Type>[: value][: detail]`, that of k8s.io/apimachinery/pkg/util/validation/field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_NOTHING: Any = object()  # a value that is not told

# The reasons of a Status cause, by the type of the error.
_REASONS = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Duplicate value": "FieldValueDuplicate",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
    "Not found": "FieldValueNotFound",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong: where, which sort of wrong, the value, and the detail."""

    path: str
    type: str
    value: Any = _NOTHING
    detail: str = ""

    @property
    def text(self) -> str:
        """Everything but the path, as a Status cause tells it."""
        shown = "" if self.value is _NOTHING else f": {_shown(self.value)}"
        return f"{self.type}{shown}{f': {self.detail}' if self.detail else ''}"

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"

    def cause(self) -> dict[str, str]:
        """Give the entry of `details.causes`."""
        return {"reason": _REASONS.get(self.type, "FieldValueInvalid"), "message": self.text, "field": self.path}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(path: str, detail: str = "") -> FieldError:
    """The field must be there."""
    return FieldError(path, "Required value", detail=detail)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """The value breaks a rule."""
    return FieldError(path, "Invalid value", value, detail)


def duplicate(path: str, value: Any) -> FieldError:
    """The value is there already."""
    return FieldError(path, "Duplicate value", value)


def unsupported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """The value is none of a closed set."""
    listed = ", ".join(f'"{name}"' for name in sorted(supported))
    return FieldError(path, "Unsupported value", value, f"supported values: {listed}")


def forbidden(path: str, detail: str) -> FieldError:
    """The field must not be there."""
    return FieldError(path, "Forbidden", detail=detail)


def too_long(path: str, most: int) -> FieldError:
    """The value has too many bytes."""
    return FieldError(path, "Too long", detail=f"may not be more than {most} bytes")


def not_found(path: str, value: Any) -> FieldError:
    """The value names something that is not there."""
    return FieldError(path, "Not found", value)
