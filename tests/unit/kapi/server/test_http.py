"""What clients see on the wire: tables, protobuf, logs, discovery, and refusals of what is too much."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.codec import wire
from kapi.codec.bodies import BodyError
from kapi.codec.protobuf import MEDIA_TYPE, decode
from kapi.resources import CONFIG_MAPS, ENDPOINTS, NAMESPACES, PODS, RESOURCES
from kapi.server import Settings
from kapi.server.reviews import REVIEWS
from kapi.testing import Served, serving

Json = dict[str, Any]

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


async def call(served: Served, method: str, path: str, **arguments: Any) -> tuple[int, str, bytes]:
    """One HTTP exchange: code, media type, body."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, served.url + path, **arguments) as response,
    ):
        return response.status, response.headers.get("Content-Type", ""), await response.read()


async def test_a_table_has_columns_rows_and_metadata(served: Served) -> None:
    await served.client.create(PODS, POD)
    _, _, body = await call(served, "GET", PODS.path("default"), headers={"Accept": TABLE})
    table = json.loads(body)
    assert table["kind"] == "Table"
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names[:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_a_table_of_every_kind_can_be_made(served: Served) -> None:
    for resource in RESOURCES:
        code, _, body = await call(served, "GET", resource.path(), headers={"Accept": TABLE})
        assert code == 200, body


async def test_discovery_names_every_resource_in_both_forms(served: Served) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = set()
    for path in ("/api", "/apis"):
        _, media, body = await call(served, "GET", path, headers={"Accept": accept})
        assert "APIGroupDiscoveryList" in media
        for group in json.loads(body)["items"]:
            found |= {r["resource"] for version in group["versions"] for r in version["resources"]}
    assert found == {resource.plural for resource in (*RESOURCES, *REVIEWS)}
    _, _, body = await call(served, "GET", "/apis/apps/v1")
    assert {r["name"] for r in json.loads(body)["resources"]} >= {"deployments", "deployments/scale"}


async def test_openapi_describes_every_kind(served: Served) -> None:
    _, _, body = await call(served, "GET", "/openapi/v3")
    kinds = set()
    for place in json.loads(body)["paths"].values():
        _, _, document = await call(served, "GET", place["serverRelativeURL"])
        for schema in json.loads(document)["components"]["schemas"].values():
            kinds |= {entry["kind"] for entry in schema.get("x-kubernetes-group-version-kind", ())}
            assert schema["description"]
    assert kinds == {resource.kind for resource in (*RESOURCES, *REVIEWS)}


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    """An object as a typed client sends it."""
    meta = wire.field(1, version) + wire.field(2, kind)
    return b"k8s\0" + wire.field(1, meta) + wire.field(2, raw)


async def test_protobuf_is_read_and_json_is_answered(served: Served) -> None:
    raw = (
        wire.field(1, wire.field(1, "n1") + wire.field(8, b"")) + wire.field(2, b"") + wire.field(3, wire.field(1, ""))
    )
    data = envelope("v1", "Namespace", raw)
    code, media, body = await call(served, "POST", NAMESPACES.path(), data=data, headers={"Content-Type": MEDIA_TYPE})
    assert (code, media.partition(";")[0]) == (201, "application/json")
    assert json.loads(body)["metadata"]["name"] == "n1"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"k8s",
        b"k8s\0\xff\xff\xff",
        envelope("v1", "Namespace", b"\x0a\xff"),
        envelope("v9", "Unknown", b""),
        envelope("v1", "Namespace", b"\x08\x01"),
        envelope("v1", "ConfigMap", wire.field(2, b"\x08\x01")),
    ],
)
def test_protobuf_that_is_not_understood_is_refused(data: bytes) -> None:
    with pytest.raises(BodyError):
        decode(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in ("ConfigMap", "Service", "Event"):
        with suppress(BodyError):
            decode(envelope("v1", kind, data))
    with suppress(BodyError):
        decode(b"k8s\0" + data)


async def test_bodies_that_are_too_large_or_no_json_are_refused(served: Served) -> None:
    path = CONFIG_MAPS.path("default")
    json_type = {"Content-Type": "application/json"}
    code, _, body = await call(served, "POST", path, data=io.BytesIO(b"x" * (3 * 1024 * 1024 + 1)), headers=json_type)
    assert (code, json.loads(body)["reason"]) == (413, "RequestEntityTooLarge")
    for data in (b"{", b"[]", b"\xff", b'{"metadata":' * 2000, b"NaN"):
        code, _, body = await call(served, "POST", path, data=data, headers=json_type)
        assert (code, json.loads(body)["kind"]) == (400, "Status"), data[:20]
    code, _, _ = await call(served, "POST", path, data=b"x", headers={"Content-Type": "text/html"})
    assert code == 415


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nix", 404),
        ("GET", "/api/v1/nix", 404),
        ("GET", "/apis/nix/v1/x", 404),
        ("GET", "/api/v1/pods/p", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("POST", "/api/v1/pods", 405),
        ("OPTIONS", "/api/v1/pods", 405),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/version", 200),
        ("GET", "/api/v1/namespaces/default/services/kubernetes", 200),
        ("GET", "/api/v1/pods?limit=x", 400),
        ("GET", "/api/v1/pods?resourceVersion=None", 400),
    ],
)
async def test_a_path_is_answered_with_its_code(served: Served, method: str, path: str, code: int) -> None:
    assert (await call(served, method, path))[0] == code


async def test_a_warning_names_the_unknown_field(served: Served) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(served.url + PODS.path("default"), json=POD | {"odd": 1}) as response,
    ):
        assert response.headers["Warning"] == '299 - "unknown field \\"odd\\""'


async def test_who_uses_a_deprecated_kind_is_warned(served: Served) -> None:
    text = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    async with aiohttp.ClientSession() as session:
        for path in ("", "/kubernetes", "?watch=true"):
            async with session.get(f"{served.url}{ENDPOINTS.path('default')}{path}") as response:
                assert response.headers["Warning"] == text, path


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("text/html", 406),
        ("application/vnd.kubernetes.protobuf", 406),
        ("application/json;as=Odd;g=meta.k8s.io;v=v1", 406),
        ("application/vnd.kubernetes.protobuf, */*", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("", 200),
    ],
)
async def test_who_takes_no_json_is_told_so(served: Served, accept: str, code: int) -> None:
    assert (await call(served, "GET", PODS.path(), headers={"Accept": accept}))[0] == code


async def test_a_pods_log_is_what_the_settings_give() -> None:
    async def read(namespace: str, pod: str, container: str) -> bytes:
        return f"{namespace}/{pod}/{container}\nsecond\nthird\n".encode()

    async with serving(settings=Settings(pod_logs=read)) as served:
        await served.client.create(PODS, POD)
        path = PODS.path("default", "p", "log")
        assert (await call(served, "GET", path))[2] == b"default/p/c\nsecond\nthird\n"
        assert (await call(served, "GET", path + "?tailLines=1&follow=false"))[2] == b"third\n"
        assert (await call(served, "GET", path + "?container=x"))[0] == 400


async def test_init_containers_have_logs_and_so_has_the_previous_run_where_there_was_one() -> None:
    async def read(namespace: str, pod: str, container: str) -> bytes:
        return container.encode()

    def previous(namespace: str, pod: str, container: str) -> Awaitable[bytes] | None:
        return read(namespace, pod, "an earlier c") if container == "c" else None

    containers = {"containers": [{"name": "c", "image": "x"}], "initContainers": [{"name": "first", "image": "x"}]}
    pod = {**POD, "spec": containers}
    async with serving(settings=Settings(pod_logs=read, previous_logs=previous)) as served:
        await served.client.create(PODS, pod)
        path = PODS.path("default", "p", "log")
        assert (await call(served, "GET", path))[2] == b"c"
        assert (await call(served, "GET", path + "?container=first"))[2] == b"first"
        assert (await call(served, "GET", path + "?previous=true"))[2] == b"an earlier c"
        code, _, body = await call(served, "GET", path + "?container=first&previous=true")
        assert code == 400
        assert json.loads(body)["message"] == 'previous terminated container "first" in pod "p" not found'


async def test_the_watch_of_a_client_that_has_gone_is_closed(served: Served) -> None:
    watchers = served.server._state.of(CONFIG_MAPS).history.followers
    before = len(watchers)
    async with served.http.watch(CONFIG_MAPS):
        assert len(watchers) == before + 1
    await served.http.close()
    for _ in range(100):
        if len(watchers) == before:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the watch is still open")
