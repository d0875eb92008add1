"""What the decisions of the controllers ask for. Pure: carrying them out is `runner`'s part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from kapi.client import PatchKind
from kapi.network import Reference
from kapi.resources import Resource

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    """Create `count` objects alike."""

    resource: Resource
    obj: Json
    owner: Reference
    count: int = 1


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete one very object. `grace` is how many seconds it may take over it; None leaves that to the object."""

    resource: Resource
    key: str
    uid: str
    owner: Reference
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Change parts of an object."""

    resource: Resource
    key: str
    patch: Json
    subresource: str | None = None
    kind: PatchKind = "merge"


@dataclass(frozen=True, slots=True)
class Bind:
    """Give a pod to a node."""

    pod: Reference
    node: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Write an Event."""

    about: Reference
    level: Literal["Normal", "Warning"]
    reason: str
    message: str


Action = Create | Delete | Patch | Bind | Tell


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in their order, and when to decide again even if nothing changes, in seconds (None: never)."""

    actions: tuple[Action, ...] = ()
    again: float | None = None
