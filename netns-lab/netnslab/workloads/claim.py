"""Who belongs to whom: a controller takes in what it selects and nobody controls, and lets go of the rest. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from kapi.network import Reference
from kapi.resources import Resource
from kapi.selectors import matches_labels
from netnslab.workloads.actions import Patch
from netnslab.workloads.values import Identity, Selector

Json = dict[str, Any]


class _Owned(Protocol):
    @property
    def meta(self) -> Identity: ...
    @property
    def key(self) -> str: ...


O = TypeVar("O", bound=_Owned)  # noqa: E741  # an object, whatever its kind


@dataclass(frozen=True, slots=True)
class Claim(Generic[O]):
    """The objects that are a controller's, and the patches by which the others join or leave it."""

    owned: tuple[O, ...]
    patches: tuple[Patch, ...]


def claim(
    owner: Reference, selector: Selector | None, candidates: Iterable[O], resource: Resource, *, adopt: bool = True
) -> Claim[O]:
    """Sort out what a controller owns. It adopts nothing when `adopt` is false (it is being deleted itself)."""
    owned: list[O] = []
    patches: list[Patch] = []
    for one in candidates:
        selected = selector is not None and bool(selector) and matches_labels(selector, one.meta.labels)
        holder = one.meta.owner
        if holder is not None and holder.uid == owner.uid:
            if selected:
                owned.append(one)
            else:
                patches.append(_release(one, resource))
        elif holder is None and selected and adopt and not one.meta.terminating:
            patches.append(_adopt(one, owner, resource))
            owned.append(one)
    return Claim(tuple(owned), tuple(patches))


def _adopt(one: _Owned, owner: Reference, resource: Resource) -> Patch:
    meta = {"uid": one.meta.uid, "ownerReferences": [owner.as_owner()]}
    return Patch(resource, one.key, {"metadata": meta})


def _release(one: _Owned, resource: Resource) -> Patch:
    return Patch(resource, one.key, {"metadata": {"uid": one.meta.uid, "ownerReferences": None}})
