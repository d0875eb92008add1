"""Whatever is sent as an object of whatever kind: it is stored and can be shown, or refused, and never a fault."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapi.errors import StatusError
from kapi.resources import HORIZONTAL_POD_AUTOSCALERS, RESOURCES, Resource
from kapi.server.kinds import KINDS
from kapi.testing import Served, serving
from kapi.transport import Request

Json = dict[str, Any]

NAMES = sorted(
    {field.alias or name for kind in KINDS for name, field in kind.model.model_fields.items()}
    | {"type", "name", "ports", "replicas", "selector", "template", "resource", "target", "port", "cidrs", "metrics"}
    | {"currentMetrics", "claimRef", "accessModes", "capacity", "parentRef", "scaleTargetRef", "matchLabels", "storage"}
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(["", "a", "Resource", "80", "10.0.0.0/8"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def code(served: Served, request: Request) -> int:
    """The code that a request is answered with; a fault comes out as it is."""
    try:
        await served.client.transport.send(request)
    except StatusError as error:
        return int(error.status["code"])
    return 200


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.qualified)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(st.sampled_from(["spec", "status", "metadata", *NAMES]), VALUES, max_size=5))
def test_it_is_stored_and_shown_or_refused(resource: Resource, body: Json) -> None:
    async def run() -> None:
        async with serving() as served:
            obj = {**body, "metadata": {"name": "x"}}
            for request in (
                Request("POST", resource.path("default"), {}, obj),
                Request("PATCH", resource.path("default", "x"), {}, body, "application/strategic-merge-patch+json"),
                Request("GET", resource.path("default", "x"), accept=TABLE),
                Request("GET", resource.path("default"), accept=TABLE),
            ):
                assert await code(served, request) != 500

    asyncio.run(run())


async def test_a_measure_that_makes_no_sense_is_shown_all_the_same() -> None:
    target = {"kind": "Deployment", "name": "d"}
    for metric in ({"resource": "x"}, {"resource": {"name": "cpu", "target": 1}}, {"type": "Pods"}, {}):
        spec = {"scaleTargetRef": target, "maxReplicas": 1, "metrics": [metric]}
        async with serving() as served:
            body = {"metadata": {"name": "x"}, "spec": spec, "status": {"currentMetrics": [metric]}}
            await served.client.create(HORIZONTAL_POD_AUTOSCALERS, body, "default")
            path = HORIZONTAL_POD_AUTOSCALERS.path("default")
            assert await code(served, Request("GET", path, accept=TABLE)) == 200
