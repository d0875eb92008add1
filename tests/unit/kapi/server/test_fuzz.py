"""Whatever fits the served OpenAPI, or nearly does, is answered over HTTP with what it deserves: never with a 500."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from tests.server import serving

from kapi.resources import RESOURCES
from kapi.server.reviews import REVIEWS

EXAMPLES = 4  # of each operation; there are some four hundred operations
NAMES = ("x", "default", "kubernetes")  # the last two are of objects that are there from the start
PLACES = list(
    dict.fromkeys((f"apis/{r.api_version}" if r.group else f"api/{r.version}") for r in (*RESOURCES, *REVIEWS))
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("--listen", "127.0.0.1:0") as running:
        yield running


def aimed(case: Any, draw: random.Random) -> None:
    """Point a call at something that may exist, and keep it from watching for ever."""
    name = draw.choice(NAMES)
    for part, value in (("namespace", "default"), ("name", name)):
        if part in (case.path_parameters or {}) and draw.random() < 0.9:
            case.path_parameters[part] = value
    if case.query and case.query.get("watch"):
        case.query["timeoutSeconds"] = 1
    if isinstance(case.body, dict) and isinstance(case.body.get("metadata", {}), dict):
        case.body = {**case.body, "metadata": {**case.body.get("metadata", {}), "name": name, "namespace": "default"}}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("place", PLACES)
def test_no_call_that_the_openapi_tells_of_is_a_fault(url: str, place: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi/v3/{place}")
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # what is no operation fails here

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def answered(case: Any) -> None:
            aimed(case, random.Random(repr(case.body)))
            answer = case.call(base_url=url)
            assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"
            if answer.status_code >= 400:
                assert answer.json()["kind"] == "Status", answer.text

        answered()
