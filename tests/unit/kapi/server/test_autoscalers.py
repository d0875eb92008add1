"""Autoscalers of both versions: what version 1 has no fields for goes through it in annotations, and is not lost.

The texts of the annotations are what a released API server (1.36) gave for the same objects.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.errors import BadRequest
from kapi.resources import HORIZONTAL_POD_AUTOSCALERS as V2
from kapi.resources import HORIZONTAL_POD_AUTOSCALERS_V1 as V1
from kapi.server.kinds.autoscalers import AUTOSCALER_V1
from kapi.testing import Served
from kapi.transport import Request

Json = dict[str, Any]

PREFIX = "autoscaling.alpha.kubernetes.io/"


def measure(kind: str, end: str = "target", **parts: Any) -> Json:
    return {"type": kind, kind[0].lower() + kind[1:]: parts if end in parts else {**parts, end: {}}}


def utilization(percent: int) -> Json:
    return {"type": "Utilization", "averageUtilization": percent}


def average(value: str) -> Json:
    return {"type": "AverageValue", "averageValue": value}


MEMORY = measure("Resource", name="memory", target=utilization(60))
CPU = measure("Resource", name="cpu", target=utilization(50))
OTHERS = [
    MEMORY,
    measure("Resource", name="cpu", target=average("100m")),
    measure("External", metric={"name": "q", "selector": {"matchLabels": {"a": "b"}}}, target=average("30")),
    measure(
        "Object",
        metric={"name": "o"},
        describedObject={"kind": "Service", "name": "s", "apiVersion": "v1"},
        target={"type": "Value", "value": "30"},
    ),
    measure("Pods", metric={"name": "o"}, target=average("30")),
    measure("ContainerResource", name="cpu", container="c", target=utilization(60)),
]
METRICS = [
    {"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 60}},
    {"type": "Resource", "resource": {"name": "cpu", "targetAverageValue": "100m"}},
    {
        "type": "External",
        "external": {
            "metricName": "q",
            "metricSelector": {"matchLabels": {"a": "b"}},
            "targetAverageValue": "30",
        },
    },
    {
        "type": "Object",
        "object": {
            "target": {"kind": "Service", "name": "s", "apiVersion": "v1"},
            "metricName": "o",
            "targetValue": "30",
        },
    },
    {"type": "Pods", "pods": {"metricName": "o", "targetAverageValue": "30"}},
    {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "targetAverageUtilization": 60, "container": "c"},
    },
]
BEHAVIOR = {"scaleDown": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 4}]}}
CONDITIONS = [{"type": "AbleToScale", "status": "True", "reason": "r", "message": "m"}]
CURRENT = [
    {"type": "Resource", "resource": {"name": "memory", "current": {"averageUtilization": 6, "averageValue": "1m"}}},
    {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5, "averageValue": "1m"}}},
]


def autoscaler(*metrics: Json, name: str = "h", **spec: Any) -> Json:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "metrics": list(metrics), **spec}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def made(served: Served) -> Json:
    obj = await served.http.create(V2, autoscaler(MEMORY, CPU, *OTHERS[1:], behavior=BEHAVIOR))
    status = {"currentReplicas": 1, "conditions": CONDITIONS, "currentMetrics": CURRENT}
    return await served.http.update(V2, {**obj, "status": status}, subresource="status")


async def sent(served: Served, patch: Any, kind: str, query: dict[str, str]) -> Json:
    request = Request("PATCH", V1.path("default", "h"), query, patch, f"application/{kind}")
    return await served.http.transport.send(request)


async def test_version_1_carries_what_it_has_no_fields_for_in_annotations(served: Served) -> None:
    await made(served)
    shown = await served.http.get(V1, "h", "default")
    assert shown["spec"].keys() == {"scaleTargetRef", "minReplicas", "maxReplicas", "targetCPUUtilizationPercentage"}
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 50
    assert shown["status"] == {"currentReplicas": 1, "currentCPUUtilizationPercentage": 5}
    carried = {name.removeprefix(PREFIX): json.loads(text) for name, text in shown["metadata"]["annotations"].items()}
    assert carried == {
        "metrics": METRICS,
        "behavior": {
            "ScaleDown": {"StabilizationWindowSeconds": 60, "Policies": [{"Type": "Pods", "Value": 4}]},
        },
        "conditions": CONDITIONS,
        "current-metrics": [
            {
                "type": "Resource",
                "resource": {"name": name, "currentAverageUtilization": percent, "currentAverageValue": "1m"},
            }
            for name, percent in (("memory", 6), ("cpu", 5))
        ],
    }


async def test_an_update_in_version_1_changes_what_it_changes(served: Served) -> None:
    before = await made(served)
    shown = await served.http.get(V1, "h", "default")
    shown["spec"]["maxReplicas"] = 4
    await served.http.update(V1, shown)
    after = await served.http.get(V2, "h", "default")
    assert after["spec"] == before["spec"] | {"maxReplicas": 4}
    assert after["status"] == before["status"]
    assert "annotations" not in after["metadata"]


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge-patch+json", {"spec": {"targetCPUUtilizationPercentage": 33}}),
        ("strategic-merge-patch+json", {"spec": {"targetCPUUtilizationPercentage": 33}}),
        ("json-patch+json", [{"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 33}]),
        ("apply-patch+yaml", {"metadata": {"name": "h"}, "spec": {"targetCPUUtilizationPercentage": 33}}),
    ],
    ids=["merge", "strategic", "json", "apply"],
)
async def test_a_patch_in_version_1_leaves_other_measures(served: Served, kind: str, patch: Any) -> None:
    before = await made(served)
    query = {"fieldManager": "m", "force": "true"} if kind == "apply-patch+yaml" else {}
    changed = await sent(served, patch, kind, query)
    assert changed["spec"]["targetCPUUtilizationPercentage"] == 33
    after = await served.http.get(V2, "h", "default")
    cpu = measure("Resource", name="cpu", target=utilization(33))
    assert after["spec"] == before["spec"] | {"metrics": [*OTHERS, cpu]}
    assert after["status"] == before["status"]


async def test_measures_go_where_their_annotation_goes(served: Served) -> None:
    await made(served)
    for text, metrics in ((json.dumps(METRICS[:1]), [MEMORY, CPU]), ("nonsense", [CPU]), (None, [CPU])):
        patch = {"metadata": {"annotations": {f"{PREFIX}metrics": text, f"{PREFIX}behavior": text}}}
        await served.http.patch(V1, "h", patch, "default")
        spec = (await served.http.get(V2, "h", "default"))["spec"]
        assert spec["metrics"] == metrics
        assert "behavior" not in spec
    wrong = {"metadata": {"annotations": {f"{PREFIX}metrics": '[{"type":"Resource","resource":{"name":7}}]'}}}
    with pytest.raises(BadRequest, match=r"spec\.metrics\[0\]\.resource\.name: Invalid value: 7: must be a string"):
        await served.http.patch(V1, "h", wrong, "default")


async def test_an_unknown_field_is_one_of_version_1(served: Served) -> None:
    await made(served)
    with pytest.raises(BadRequest, match=r'unknown field "spec\.metrics"'):
        await sent(served, {"spec": {"metrics": []}}, "merge-patch+json", {"fieldValidation": "Strict"})


async def test_in_this_process_version_1_has_no_owners_either(served: Served) -> None:
    await made(served)
    assert "managedFields" in (await served.http.get(V1, "h", "default"))["metadata"]
    assert "managedFields" not in (await served.client.get(V1, "h", "default"))["metadata"]
    async with served.client.watch(V1, "default") as stream:
        event = await anext(aiter(stream))
    assert (event["object"]["apiVersion"], "managedFields" in event["object"]["metadata"]) == (V1.api_version, False)


@pytest.mark.parametrize(
    ("metrics", "field"),
    [
        ([{"resource": "x"}], r"spec\.metrics\[0\]\.resource"),
        ([measure("Resource", name="cpu", target="x")], r"spec\.metrics\[0\]\.resource\.target"),
        (["x"], r"spec\.metrics\[0\]"),
    ],
    ids=str,
)
async def test_a_measure_that_is_none_is_refused(served: Served, metrics: list[Any], field: str) -> None:
    with pytest.raises(BadRequest, match=f"{field}: Invalid value: .*: must be an object"):
        await served.http.create(V2, autoscaler(*metrics))


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["cpu", "Resource", "Pods"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "resource", "name", "target", "current", "averageUtilization", "pods", "metric"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_was_kept_is_shown(metrics: Any, measured: Any, rest: Any) -> None:
    obj = {"metadata": {"name": "h"}, "spec": {"metrics": metrics, "behavior": rest}}
    obj["status"] = {"currentMetrics": measured, "conditions": rest}
    before = copy.deepcopy(obj)
    shown = AUTOSCALER_V1.outward(obj)
    again = AUTOSCALER_V1.inward(shown, obj)
    assert obj == before
    assert again["spec"].get("metrics") == (metrics or None)
    for part in (metrics, measured):
        AUTOSCALER_V1.outward({"metadata": {}, "spec": part, "status": part})
