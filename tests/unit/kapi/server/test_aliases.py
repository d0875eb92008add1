"""Events of events.k8s.io and of the core group are the same objects, and so are autoscalers of both versions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kapi.client import PatchKind
from kapi.errors import NotFound
from kapi.resources import EVENTS, EVENTS_V1, HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
from kapi.testing import Served

Json = dict[str, Any]

EVENT: Json = {
    "metadata": {"name": "e", "namespace": "default"},
    "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    "note": "it fell",
    "reason": "Fell",
    "type": "Warning",
    "action": "Fall",
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "example.com/x",
    "reportingInstance": "x-1",
}


async def test_an_event_written_in_one_group_is_read_in_the_other(served: Served) -> None:
    made = await served.http.create(EVENTS_V1, EVENT)
    core = await served.http.get(EVENTS, "e", "default")
    assert (made["apiVersion"], made["regarding"]["name"], made["note"]) == ("events.k8s.io/v1", "p", "it fell")
    assert (core["apiVersion"], core["involvedObject"]["name"], core["message"]) == ("v1", "p", "it fell")
    assert core["reportingComponent"] == "example.com/x"
    listed = await served.http.list(EVENTS_V1, "default", fields="regarding.name=p,reason=Fell")
    assert [item["note"] for item in listed.items] == ["it fell"]
    assert not (await served.http.list(EVENTS_V1, "default", fields="regarding.name=q")).items


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"note": "it rose"}),
        ("strategic", {"note": "it rose", "apiVersion": "events.k8s.io/v1"}),
        ("json", [{"op": "replace", "path": "/note", "value": "it rose"}]),
    ],
)
async def test_an_event_can_be_patched_in_its_own_words(served: Served, kind: PatchKind, patch: Any) -> None:
    await served.http.create(EVENTS_V1, EVENT)
    assert (await served.http.patch(EVENTS_V1, "e", patch, "default", kind=kind))["note"] == "it rose"
    assert (await served.http.get(EVENTS, "e", "default"))["message"] == "it rose"


async def test_a_watch_in_one_group_sees_what_the_other_writes(served: Served) -> None:
    async with served.http.watch(EVENTS_V1, "default") as stream:
        await served.client.create(
            EVENTS,
            {
                "metadata": {"name": "c", "namespace": "default"},
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
                "message": "hello",
            },
        )
        async with asyncio.timeout(5):
            event = await anext(aiter(stream))
    assert (event["type"], event["object"]["note"]) == ("ADDED", "hello")
    await served.http.delete(EVENTS_V1, "c", "default")
    with pytest.raises(NotFound):
        await served.http.get(EVENTS, "c", "default")


async def test_an_autoscaler_of_version_1_is_one_of_version_2_that_measures_the_cpu(served: Served) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}
    obj = {"metadata": {"name": "web"}, "spec": spec}
    made = await served.http.create(HORIZONTAL_POD_AUTOSCALERS_V1, obj)
    assert (made["apiVersion"], made["spec"]) == ("autoscaling/v1", spec)
    stored = await served.http.get(HORIZONTAL_POD_AUTOSCALERS, "web", "default")
    (metric,) = stored["spec"]["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    patch = {"spec": {"targetCPUUtilizationPercentage": 70}}
    changed = await served.http.patch(HORIZONTAL_POD_AUTOSCALERS_V1, "web", patch, "default")
    assert changed["spec"] == spec | patch["spec"]
    (listed,) = (await served.http.list(HORIZONTAL_POD_AUTOSCALERS_V1, "default")).items
    assert listed == changed
