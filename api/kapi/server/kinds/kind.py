"""How the server treats the objects of one resource. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kapi.objects.base import Object
from kapi.resources import Resource
from kapi.server import structure
from kapi.server.columns import PLAIN, Column
from kapi.server.fields import FieldError
from kapi.server.options import FieldValidation

Json = dict[str, Any]

EVERYWHERE = frozenset({"metadata.name", "metadata.namespace"})  # the fields that can be selected by in every kind


def _as_it_is(_: Json) -> None:
    """Fill in nothing."""


def _the_same(obj: Json) -> Json:
    """Translate nothing."""
    return obj


def _the_first(obj: Json, _: Json) -> Json:
    """Translate nothing."""
    return obj


def _nothing_kept(_new: Json, _old: Json) -> None:
    """Keep nothing of the object before."""


def _no_errors(_new: Json, _old: Json | None) -> list[FieldError]:
    """Find nothing wrong."""
    return []


def _no_status_errors(_: Json) -> list[FieldError]:
    """Find nothing wrong."""
    return []


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object: its type, its defaults and rules, how it is shown, and how it is written.

    `adopt` gives a changed object back what its update left out and only the server knows; `default` fills in a new or
    changed object; `validate` compares it with the one before (None: it is new), `validate_status` looks at a status
    that is written by itself.
    `counted` are the parts whose change makes a new generation. `status_at_creation` keeps a status that comes with a
    new object, `created_by_update` lets an update of a missing object create it, `update_names_version` refuses an
    update that does not say from which version it was made, and `shown_when_deleted` answers a deletion with the object
    instead of a Status, as typed clients expect of some kinds. `deprecated` is told to whoever uses the kind.
    `stored_as` names the resource that this one is an alias of, and `renamed` what its fields are called there; where
    more differs, `outward` makes what is stored what is shown, and `inward` what was sent, with what is stored now ({}:
    nothing), what is to be stored. `completed` gives an applied configuration, with what is shown now, what one of its
    fields stands for in a part that is always replaced whole.
    """

    resource: Resource
    model: type[Object]
    adopt: Callable[[Json, Json], None] = _nothing_kept
    default: Callable[[Json], None] = _as_it_is
    validate: Callable[[Json, Json | None], list[FieldError]] = _no_errors
    validate_status: Callable[[Json], list[FieldError]] = _no_status_errors
    columns: tuple[Column, ...] = PLAIN
    selectable: frozenset[str] = EVERYWHERE
    counted: tuple[str, ...] = ()
    status_at_creation: bool = False
    created_by_update: bool = False
    update_names_version: bool = False
    shown_when_deleted: bool = False
    deprecated: str = ""
    stored_as: Resource | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    inward: Callable[[Json, Json], Json] = _the_first
    outward: Callable[[Json], Json] = _the_same
    completed: Callable[[Json, Json], Json] = _the_first

    def check(self, obj: Json, how: FieldValidation) -> tuple[str, ...]:
        """Check the structure of an object that a client sent; gives warnings, refuses with 400."""
        return structure.check(self.resource, self.model, obj, how)

    @property
    def has_status(self) -> bool:
        """Whether `status` is written by itself, and ignored in other writes."""
        return "status" in self.resource.subresources
