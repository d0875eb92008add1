"""Whatever is sent as an object of whatever kind: it is stored and can be shown, or refused, and never a fault."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kapi.errors import StatusError
from kapi.resources import RESOURCES, Resource
from kapi.server.kinds import KINDS
from kapi.server.kinds.autoscalers import AUTOSCALER
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


@pytest.mark.parametrize(
    "metric", [{"resource": "x"}, {"resource": {"name": "cpu", "target": 1}}, {"type": "Pods"}, "x"]
)
def test_a_measure_that_was_kept_before_it_was_checked_is_shown_all_the_same(metric: Any) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 1, "metrics": [metric]}
    obj = {"metadata": {"name": "x"}, "spec": spec, "status": {"currentMetrics": [metric]}}
    cells = {column.name: column.cell(obj, datetime.now(UTC)) for column in AUTOSCALER.columns}
    assert cells["Targets"] == ("Pods" if metric == {"type": "Pods"} else "<unknown>")
