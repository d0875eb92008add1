"""What controllers have written of a workload, without what must differ: generated names, hashes, moments."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.conformance.workloads.history import NAME, place_of
from tests.conformance.workloads.sides import Cluster

from kapi.errors import NotFound
from kapi.resources import CONTROLLER_REVISIONS, JOBS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Resource

Json = dict[str, Any]

_MOMENTS = {"startTime", "completionTime", "lastProbeTime", "lastTransitionTime", "lastUpdateTime"}
_HASH = "controller-revision-hash"
_GENERATION = "pod-template-generation"  # of the time before there were revisions


async def written(cluster: Cluster, resource: Resource, space: str) -> list[str]:
    """Give all of it as text that compares equal where it means the same."""
    revisions = {one["metadata"]["name"]: one for one in (await cluster.client.list(CONTROLLER_REVISIONS, space)).items}
    names = {name: f"revision {one['revision']}" for name, one in revisions.items()}
    names |= {name.removeprefix(f"{NAME}-"): number for name, number in names.items()}
    found = [f"{names[name]}: {_image(one['data']['spec']['template'])}" for name, one in revisions.items()]
    found += [_pod(pod, resource, names) for pod in (await cluster.client.list(PODS, space)).items]
    claims = (await cluster.client.list(PERSISTENT_VOLUME_CLAIMS, space)).items
    found += [f"claim {one['metadata']['name']} {one['metadata'].get('labels')}" for one in claims]
    try:
        one = await cluster.client.get(resource, NAME, space)
    except NotFound:
        return sorted(found)
    status = one.get("status") or {}
    if not status or status.get("observedGeneration", one["metadata"]["generation"]) != one["metadata"]["generation"]:
        found.append(f"{cluster} has not seen everything")
    return [*sorted(found), json.dumps(_plain(status, names), sort_keys=True)]


def _image(template: Json) -> str:
    return str(template["spec"]["containers"][0]["image"])


def _pod(pod: Json, resource: Resource, names: dict[str, str]) -> str:
    meta, spec = pod["metadata"], pod["spec"]
    labels = {name: names.get(value, value) for name, value in meta["labels"].items() if name != _GENERATION}
    labels = {name: value for name, value in labels.items() if "uid" not in name}
    plain = {
        "place": re.sub(r"^h\d+-", "", str(place_of(pod))),
        "labels": labels,
        "annotations": meta.get("annotations"),
        "finalizers": meta.get("finalizers") or [],
        "owners": [(owner["kind"], owner["controller"], owner["apiVersion"]) for owner in meta["ownerReferences"]],
        "phase": (pod.get("status") or {}).get("phase"),
        "leaving": "deletionTimestamp" in meta,
        "image": _image(pod),
        "named": (spec.get("hostname"), spec.get("subdomain")),
        "claims": [volume.get("persistentVolumeClaim") for volume in spec.get("volumes") or ()],
        "env": spec["containers"][0].get("env") if resource == JOBS else None,
        "tolerations": sorted(json.dumps(one, sort_keys=True) for one in spec.get("tolerations") or ()),
    }
    return json.dumps(plain, sort_keys=True)


def _plain(value: Any, names: dict[str, str]) -> Any:
    """A status without moments; a number that is 0 and one that is not there are the same."""
    if isinstance(value, dict):
        plain = {name: _plain(item, names) for name, item in value.items() if name not in _MOMENTS}
        return {name: item for name, item in plain.items() if item not in (0, None, "", [], {})}
    if isinstance(value, list):
        return [_plain(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def in_order(cluster: Cluster, resource: Resource, space: str, obj: Json) -> list[str]:
    """Which pods came and went, where their order is laid down."""
    ordered = resource == STATEFUL_SETS and obj["spec"]["podManagementPolicy"] == "OrderedReady"
    return cluster.journal.get(space, []) if ordered else []
