"""Namespaces: they exist, they are ending, and they are gone when nothing is left in them. Pure."""

from __future__ import annotations

from typing import Any

from kapi.resources import NAMESPACES
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]


def _default(obj: Json) -> None:
    meta = obj["metadata"]
    if meta.get("name"):
        meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]
    if "deletionTimestamp" not in meta:
        obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        obj.setdefault("status", {}).setdefault("phase", "Active")


NAMESPACE = Kind(NAMESPACES, default=_default)
