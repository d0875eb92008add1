"""Every kind of a manifest from the wild is stored whole, gets its documented defaults, and is shown in its columns."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import aiohttp
import pytest

from kapi.codec.bodies import own
from kapi.errors import Invalid
from kapi.resources import (
    CLUSTER_ROLE_BINDINGS,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    HORIZONTAL_POD_AUTOSCALERS,
    IP_ADDRESSES,
    JOBS,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_CIDRS,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    Resource,
)
from kapi.testing import Served

Json = dict[str, Any]

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
POD: Json = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}, "metadata": {"labels": {"a": "b"}}}
MOUNTING = {"name": "c", "image": "i:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
MOUNTED = {**POD, "spec": {"containers": [MOUNTING]}}
ONCE = {"spec": {"containers": [{"name": "c", "image": "i:1"}], "restartPolicy": "Never"}}
SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": POD}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
ROLE = {"kind": "ClusterRole", "name": "admin"}


def rolling(**by: int | str) -> Json:
    return {"spec": {**SELECTED, "updateStrategy": {"rollingUpdate": by}}}


def affine(operator: str, *values: str, part: str = "matchExpressions") -> Json:
    terms = [{part: [{"key": "k", "operator": operator, "values": list(values)}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    return {"spec": {**POD["spec"], "affinity": affinity}}


# kind, object, some defaults (dotted path: value), cells of its row but the age
CASES: list[tuple[Resource, Json, Json, list[Any]]] = [
    (
        STATEFUL_SETS,
        {
            "spec": {
                **SELECTED,
                "template": MOUNTED,
                "serviceName": "s",
                "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": CLAIM}],
            }
        },
        {"spec.replicas": 1, "spec.podManagementPolicy": "OrderedReady", "spec.updateStrategy.type": "RollingUpdate"},
        ["0/1"],
    ),
    (
        DAEMON_SETS,
        {"spec": SELECTED},
        {"spec.updateStrategy.rollingUpdate.maxUnavailable": 1, "spec.replicas": None},
        [0, 0, 0, 0, 0, "<none>"],
    ),
    (JOBS, {"spec": {"template": ONCE}}, {"spec.completions": 1, "spec.backoffLimit": 6}, ["Running", "0/1", ""]),
    (
        CRON_JOBS,
        {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": ONCE}}}},
        {"spec.concurrencyPolicy": "Allow", "spec.successfulJobsHistoryLimit": 3},
        ["*/5 * * * *", "<none>", False, 0, "<unknown>"],
    ),
    (
        HORIZONTAL_POD_AUTOSCALERS,
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5}},
        {"spec.minReplicas": 1},
        ["Deployment/web", "cpu: <unknown>/80%", 1, 5, 0],
    ),
    (POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": 1, "selector": {}}}, {}, [1, "N/A", 0]),
    (NETWORK_POLICIES, {"spec": {"podSelector": {}, "egress": [{}]}}, {"spec.policyTypes": ["Ingress", "Egress"]}, []),
    (
        PERSISTENT_VOLUME_CLAIMS,
        {"spec": CLAIM},
        {"spec.volumeMode": "Filesystem"},
        ["Pending", "", "", "", "", "<unset>"],
    ),
    (
        PERSISTENT_VOLUMES,
        {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "hostPath": {"path": "/x"}}},
        {"spec.persistentVolumeReclaimPolicy": "Retain"},
        ["1Gi", "RWX", "Retain", "Pending", "", "", ""],
    ),
    (STORAGE_CLASSES, {"provisioner": "a.io/b"}, {"reclaimPolicy": "Delete"}, ["a.io/b", "Delete", "Immediate", False]),
    (ROLES, {"rules": [{"verbs": ["get"], "resources": ["pods"], "apiGroups": [""]}]}, {}, []),
    (ROLE_BINDINGS, {"roleRef": ROLE, "subjects": [{"kind": "User", "name": "me"}]}, {}, ["ClusterRole/admin"]),
    (
        CLUSTER_ROLE_BINDINGS,
        {"roleRef": ROLE},
        {"roleRef.apiGroup": "rbac.authorization.k8s.io"},
        ["ClusterRole/admin"],
    ),
    (PRIORITY_CLASSES, {"value": 7}, {"preemptionPolicy": "PreemptLowerPriority"}, [7, False]),
    (RESOURCE_QUOTAS, {"spec": {"hard": {"pods": "3"}}}, {}, ["", ""]),
    (CONTROLLER_REVISIONS, {"data": {"a": 1}, "revision": 3}, {}, ["<none>", 3]),
    (SERVICE_CIDRS, {"spec": {"cidrs": ["10.0.0.0/24"]}}, {}, ["10.0.0.0/24"]),
]


def at(obj: Json, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize(("resource", "body", "defaults", "cells"), CASES, ids=[case[0].kind for case in CASES])
async def test_it_is_stored_defaulted_and_shown(
    served: Served, resource: Resource, body: Json, defaults: Json, cells: list[Any]
) -> None:
    made = await served.http.create(resource, {"metadata": {"name": "x"}, **body}, "default")
    assert {path: at(made, path) for path in defaults} == defaults
    path = resource.path("default", "x")
    async with aiohttp.ClientSession() as session:
        asked = await session.get(served.url + path, headers={"Accept": TABLE})
        row = (await asked.json())["rows"][0]["cells"]
        strict = await session.put(served.url + path, json=made, params={"fieldValidation": "Strict"})
        again = await strict.json()
    assert row[1 : 1 + len(cells)] == cells
    assert strict.status == 200, again
    assert again == made, "writing what was read changes nothing"


BAD: list[tuple[Resource, Json, str]] = [
    (JOBS, {"spec": {"template": POD}}, "spec.template.spec.restartPolicy: Unsupported value"),
    (CRON_JOBS, {"spec": {"schedule": "x", "jobTemplate": {"spec": {"template": ONCE}}}}, "exactly 5 fields"),
    (STATEFUL_SETS, {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": POD}}, "does not match"),
    (STATEFUL_SETS, {"spec": {**SELECTED, "template": MOUNTED}}, "volumeMounts.*: Not found"),
    (STATEFUL_SETS, {"spec": {**SELECTED, "ordinals": {"start": -1}}}, "spec.ordinals.start: Invalid value: -1"),
    (DAEMON_SETS, {"spec": {**SELECTED, "updateStrategy": {"type": "x"}}}, "spec.updateStrategy.type"),
    (
        JOBS,
        {"spec": {"template": ONCE, "manualSelector": True, "selector": SELECTED["selector"]}},
        "`selector` does not match template `labels`",
    ),
    (JOBS, {"spec": {"template": ONCE, "completionMode": "Indexed", "parallelism": 1}}, "spec.completions: Required"),
    (
        JOBS,
        {"spec": {"template": ONCE, "podReplacementPolicy": "Foo"}},
        'podReplacementPolicy: Unsupported value: "Foo": supported values: "Failed", "TerminatingOrFailed"',
    ),
    (DAEMON_SETS, rolling(maxUnavailable=0), "maxUnavailable: Required value: cannot be 0 when maxSurge is 0"),
    (DAEMON_SETS, rolling(maxSurge="10%"), 'maxSurge: Invalid value: "10%": may not be set when maxUnavailable is'),
    (DAEMON_SETS, rolling(maxUnavailable="x%"), 'maxUnavailable: Invalid value: "x%": a valid percent string must be'),
    (STATEFUL_SETS, rolling(maxUnavailable="x%"), 'maxUnavailable: Invalid value: "x%": a valid percent string must'),
    (STATEFUL_SETS, rolling(maxUnavailable="101%"), "must not be greater than 100%"),
    (STATEFUL_SETS, rolling(maxUnavailable=0), "maxUnavailable: Invalid value: 0: cannot be 0"),
    (STATEFUL_SETS, rolling(maxUnavailable=-1), "must be greater than or equal to 0"),
    (PODS, affine("Foo", "a"), 'operator: Invalid value: "Foo": not a valid selector operator'),
    (PODS, affine("In"), "values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
    (PODS, affine("Exists", "a"), "values: Forbidden: may not be specified when"),
    (PODS, affine("Gt", "1", "2"), "values: Required value: must be specified single value"),
    (PODS, affine("Exists", part="matchFields"), 'operator: Invalid value: "Exists"'),
    (PODS, affine("In", "n", part="matchFields"), 'key: Invalid value: "k": not a valid field selector key'),
    (NODES, {"spec": {"taints": [{"key": "k"}]}}, r"spec.taints\[0\].effect: Required value"),
    (NODES, {"spec": {"taints": [{"key": "k", "effect": "Foo"}]}}, 'effect: Unsupported value: "Foo"'),
    (POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, "cannot be both set"),
    (ROLE_BINDINGS, {"roleRef": {"kind": "x", "name": "a"}}, "roleRef.kind: Unsupported value"),
    (IP_ADDRESSES, {"spec": {"parentRef": {"name": "a"}}}, "canonical form"),
    (PERSISTENT_VOLUME_CLAIMS, {"spec": {}}, "at least 1 access mode is required"),
    (HORIZONTAL_POD_AUTOSCALERS, {"spec": {"maxReplicas": 0}}, "must be greater than 0"),
]


@pytest.mark.parametrize(("resource", "body", "text"), BAD, ids=[case[0].kind for case in BAD])
async def test_what_makes_no_sense_is_named(served: Served, resource: Resource, body: Json, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        await served.client.create(resource, own({"metadata": {"name": "x"}, **body}), "default")


@pytest.mark.parametrize(
    ("spec", "change", "text"),
    [
        ({"completions": 2}, {"completions": 3}, "spec.completions: Invalid value: 3: field is immutable"),
        (
            {"completions": 2, "parallelism": 2, "completionMode": "Indexed"},
            {"completions": 3},
            "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
        ),
        ({"completions": 2, "parallelism": 2, "completionMode": "Indexed"}, {"completions": 3, "parallelism": 3}, ""),
    ],
)
async def test_a_job_may_change_its_completions_only_with_indexes(
    served: Served, spec: Json, change: Json, text: str
) -> None:
    await served.client.create(JOBS, {"metadata": {"name": "j"}, "spec": {"template": ONCE, **spec}}, "default")
    with pytest.raises(Invalid, match=text) if text else nullcontext():
        await served.client.patch(JOBS, "j", {"spec": change}, "default")


async def test_a_job_selects_its_own_pods_and_keeps_doing_so(served: Served) -> None:
    made = await served.client.create(JOBS, {"metadata": {"name": "j"}, "spec": {"template": ONCE}}, "default")
    selected = made["spec"]["selector"]["matchLabels"]
    assert selected == {"batch.kubernetes.io/controller-uid": made["metadata"]["uid"]}
    assert selected.items() <= made["spec"]["template"]["metadata"]["labels"].items()
    again = {
        "metadata": {"name": "j", "namespace": "default"},
        "spec": {"template": ONCE, "completions": 1, "parallelism": 2},
    }
    changed = await served.client.update(JOBS, again)
    assert changed["spec"]["selector"] == made["spec"]["selector"]
    assert changed["spec"]["template"] == made["spec"]["template"]
