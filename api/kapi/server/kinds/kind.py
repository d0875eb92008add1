"""How the server treats the objects of one resource. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kapi.resources import Resource
from kapi.server.fields import FieldError
from kapi.server.options import FieldValidation

Json = dict[str, Any]


def _nothing(_: Json) -> None:
    """Leave an object as it is."""


def _no_errors(_new: Json, _old: Json | None) -> list[FieldError]:
    """Find nothing wrong."""
    return []


@dataclass(frozen=True, slots=True)
class Kind:
    """How the server treats the objects of one resource."""

    resource: Resource
    default: Callable[[Json], None] = _nothing
    validate: Callable[[Json, Json | None], list[FieldError]] = _no_errors
    selectable: frozenset[str] = frozenset({"metadata.name", "metadata.namespace"})
    counted: tuple[str, ...] = ()  # the parts whose change counts as a new generation
    status_at_creation: bool = False
    created_by_update: bool = False

    def check(self, obj: Json, how: FieldValidation) -> tuple[str, ...]:
        """Check the structure of an object that a client sent; gives warnings, refuses with 400."""
        return ()

    @property
    def has_status(self) -> bool:
        """Whether `status` is written by itself, and ignored in other writes."""
        return "status" in self.resource.subresources
