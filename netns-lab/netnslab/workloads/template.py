"""Pod templates: the pods made from them, and the hash that tells them apart. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from kapi.network import Reference

Json = dict[str, Any]

HASH_LABEL = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: a hash never reads as a word
_DIGITS = 10


def template_hash(template: Json, collisions: int = 0) -> str:
    """Give a short name for a template; `collisions` makes another one where the name is taken."""
    text = json.dumps(without_hash(template), sort_keys=True, separators=(",", ":")) + (str(collisions or ""))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    digits = []
    for _ in range(_DIGITS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def without_hash(template: Json) -> Json:
    """Give the template as its author wrote it."""
    meta = template.get("metadata") or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != HASH_LABEL}
    kept = {name: value for name, value in meta.items() if name not in ("labels", "creationTimestamp") and value}
    return {**template, "metadata": kept | ({"labels": labels} if labels else {})}


def with_hash(template: Json, name: str) -> Json:
    """Give the template with the hash among its labels, so that the pods of two revisions can be told apart."""
    plain = without_hash(template)
    meta = plain["metadata"]
    return {**plain, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), HASH_LABEL: name}}}


def pod_of(template: Json, owner: Reference) -> Json:
    """Give a pod of this template, to be named by the server."""
    meta = template.get("metadata") or {}
    kept = {name: meta[name] for name in ("labels", "annotations", "finalizers") if meta.get(name)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **kept,
            "generateName": f"{owner.name}-",
            "namespace": owner.namespace,
            "ownerReferences": [owner.as_owner()],
        },
        "spec": template.get("spec") or {},
    }
