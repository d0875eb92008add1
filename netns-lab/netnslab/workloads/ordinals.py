"""The pods of a StatefulSet by their numbers: what each is called, made of, and claims. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

from kapi.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from netnslab.workloads.actions import Create
from netnslab.workloads.revisions import LABEL, Revision
from netnslab.workloads.sets import StatefulSet
from netnslab.workloads.template import pod_of

Json = dict[str, Any]


def number_of(owner: str, name: str) -> int | None:
    """The number in the name of a pod; None where it cannot be one of this owner's."""
    parent, _, digits = name.rpartition("-")
    numbered = digits.isascii() and digits.isdecimal() and str(int(digits)) == digits
    return int(digits) if parent == owner and numbered else None


def labels(name: str, number: int) -> dict[str, str]:
    """The labels by which a Service can choose one very pod."""
    return {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}


def pod(owner: StatefulSet, number: int, revision: Revision) -> Create:
    """Make the pod of a number: its host name is its own, and its subdomain the Service's that governs the set."""
    name = f"{owner.meta.name}-{number}"
    obj = pod_of(revision.template, owner.reference)
    meta = obj["metadata"]
    marked = {**(meta.get("labels") or {}), LABEL: revision.meta.name, **labels(name, number)}
    spec = {**obj["spec"], "hostname": name, "subdomain": owner.service}
    if owner.claims:
        spec["volumes"] = _volumes(owner, name, spec.get("volumes") or ())
    return Create(PODS, {**obj, "metadata": {**meta, "name": name, "labels": marked}, "spec": spec}, owner.reference)


def claims(owner: StatefulSet, number: int, present: Container[str]) -> Iterator[Create]:
    """Make the claims of a pod that are not there yet; `present` holds the keys of those that are."""
    for template in owner.claims:
        name = _claim(template, f"{owner.meta.name}-{number}")
        if f"{owner.meta.namespace}/{name}" not in present:
            yield Create(PERSISTENT_VOLUME_CLAIMS, _claim_object(owner, template, name), owner.reference)


def _claim(template: Json, pod_name: str) -> str:
    return f"{_named(template)}-{pod_name}"


def _named(template: Json) -> str:
    return str((template.get("metadata") or {}).get("name") or "")


def _volumes(owner: StatefulSet, name: str, given: tuple[Json, ...] | list[Json]) -> list[Json]:
    """The volumes of a pod: its claims, and those of the template that are not called like one of these."""
    claimed: Mapping[str, Json] = {
        _named(template): {"persistentVolumeClaim": {"claimName": _claim(template, name)}} for template in owner.claims
    }
    others = [volume for volume in given if volume.get("name") not in claimed]
    return [*({"name": name, **source} for name, source in claimed.items()), *others]


def _claim_object(owner: StatefulSet, template: Json, name: str) -> Json:
    meta = template.get("metadata") or {}
    return {
        "apiVersion": PERSISTENT_VOLUME_CLAIMS.api_version,
        "kind": PERSISTENT_VOLUME_CLAIMS.kind,
        "metadata": {
            "name": name,
            "namespace": owner.meta.namespace,
            "labels": {**(meta.get("labels") or {}), **owner.match_labels},
            "annotations": meta.get("annotations") or {},
        },
        "spec": template.get("spec") or {},
    }
