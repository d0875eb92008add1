"""The part of an object that the server writes: names, identity, times, generations. Pure."""

from __future__ import annotations

from typing import Any

from kapi.resources import Resource
from kapi.server import statuses
from kapi.server.fields import FieldError, required
from kapi.server.kinds.kind import Kind
from kapi.server.names import key_errors, label_errors, name_errors

Json = dict[str, Any]


def errors_of(resource: Resource, obj: Json) -> list[FieldError]:
    """Say what is wrong with an object's metadata."""
    meta = obj["metadata"]
    name = meta.get("name") or ""
    errors = name_errors(resource, name) if name else [required("metadata.name", "name or generateName is required")]
    errors += label_errors(meta.get("labels") or {}, "metadata.labels")
    for key in meta.get("annotations") or {}:
        errors += key_errors(key.lower(), "metadata.annotations", key)
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        path = f"metadata.ownerReferences[{index}]"
        errors += [required(f"{path}.{part}", f"{part} must not be empty") for part in _OWNER if not owner.get(part)]
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        errors += key_errors(finalizer, f"metadata.finalizers[{index}]", finalizer)
    return errors


_OWNER = ("apiVersion", "kind", "name", "uid")


_NOT_BROUGHT = (
    *("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"),
    "managedFields",
)


def begin(kind: Kind, obj: Json, *, uid: str, now: str) -> None:
    """Fill in what the server says of a new object."""
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise statuses.bad_request("resourceVersion should not be set on objects to be created")
    for part in _NOT_BROUGHT:
        meta.pop(part, None)
    meta["uid"] = uid
    meta["creationTimestamp"] = now
    if kind.counted:
        meta["generation"] = 1


_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName", "generation")


def carry_over(old: Json, new: Json) -> None:
    """Give a new version of an object what only the server may change."""
    before, after = old["metadata"], new["metadata"]
    after.pop("selfLink", None)
    for part in _KEPT:
        if part in before:
            after[part] = before[part]
        else:
            after.pop(part, None)
    after["resourceVersion"] = before["resourceVersion"]


def count_generation(kind: Kind, old: Json, new: Json) -> None:
    """Raise the generation where a counted part has changed."""
    if kind.counted and any(old.get(part) != new.get(part) for part in kind.counted):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def check_update(resource: Resource, old: Json, new: Json) -> None:
    """Refuse an update that was made from another version, or of another object of the same name."""
    before, after = old["metadata"], new["metadata"]
    if after.get("uid") and after["uid"] != before["uid"]:
        why = f"Precondition failed: UID in precondition: {after['uid']}, UID in object meta: {before['uid']}"
        raise statuses.conflict(resource, before["name"], why)
    if after.get("resourceVersion") and after["resourceVersion"] != before["resourceVersion"]:
        raise statuses.conflict(resource, before["name"])


def is_over(obj: Json) -> bool:
    """Whether an object that is to be deleted waits for nothing any more: no finalizer, no grace period."""
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return not (obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
