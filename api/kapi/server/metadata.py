"""The part of an object that the server writes: names, identity, times, generations. Pure."""

from __future__ import annotations

import re
from typing import Any

from kapi.resources import Resource
from kapi.server import statuses
from kapi.server.fields import FieldError, invalid, required
from kapi.server.kinds import Kind

Json = dict[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def is_subdomain(text: str) -> bool:
    """Whether `text` is a lowercase RFC 1123 subdomain."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Whether `text` is a lowercase RFC 1123 label."""
    return len(text) <= 63 and _LABEL_1123.fullmatch(text) is not None


def is_label_1035(text: str) -> bool:
    """Whether `text` is a lowercase RFC 1035 label: as RFC 1123, and its first character is a letter."""
    return len(text) <= 63 and _LABEL_1035.fullmatch(text) is not None


def name_errors(resource: Resource, name: str, path: str = "metadata.name") -> list[FieldError]:
    """Say what is wrong with an object's name; most kinds take a DNS subdomain."""
    if resource.kind == "Service":
        fits, text, most = _LABEL_1035, LABEL_1035_TEXT, 63
    elif resource.kind == "Namespace":
        fits, text, most = _LABEL_1123, LABEL_TEXT, 63
    else:
        fits, text, most = _SUBDOMAIN, SUBDOMAIN_TEXT, 253
    errors = []
    if len(name) > most:
        errors.append(invalid(path, name, f"must be no more than {most} characters"))
    if not fits.fullmatch(name):
        errors.append(invalid(path, name, text))
    return errors


def errors_of(resource: Resource, obj: Json) -> list[FieldError]:
    """Say what is wrong with an object's metadata."""
    meta = obj["metadata"]
    name = meta.get("name") or ""
    errors = name_errors(resource, name) if name else [required("metadata.name", "name or generateName is required")]
    errors += label_errors(meta.get("labels") or {}, "metadata.labels")
    for key in meta.get("annotations") or {}:
        errors += _key_errors(key.lower(), "metadata.annotations", key)
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        path = f"metadata.ownerReferences[{index}]"
        errors += [required(f"{path}.{part}", f"{part} must not be empty") for part in _OWNER if not owner.get(part)]
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        errors += _key_errors(finalizer, f"metadata.finalizers[{index}]", finalizer)
    return errors


_OWNER = ("apiVersion", "kind", "name", "uid")


def label_errors(labels: Json, path: str) -> list[FieldError]:
    """Say what is wrong with a map of labels."""
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += _key_errors(key, path, key)
        if len(value) > 63:
            errors.append(invalid(path, value, "must be no more than 63 characters"))
        elif not _LABEL_VALUE.fullmatch(value):
            errors.append(invalid(path, value, _VALUE_TEXT))
    return errors


def _key_errors(key: str, path: str, shown: str) -> list[FieldError]:
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return [invalid(path, shown, f"prefix part {SUBDOMAIN_TEXT}")]
    if not name or len(name) > 63:
        return [
            invalid(
                path,
                shown,
                "name part must be non-empty" if not name else "name part must be no more than 63 characters",
            )
        ]
    return [] if _QUALIFIED.fullmatch(name) else [invalid(path, shown, _NAME_PART_TEXT)]


def begin(kind: Kind, obj: Json, *, uid: str, now: str) -> None:
    """Fill in what the server says of a new object."""
    meta = obj["metadata"]
    if meta.get("resourceVersion"):
        raise statuses.bad_request("resourceVersion should not be set on objects to be created")
    for part in ("resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
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
