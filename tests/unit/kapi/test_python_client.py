"""The official Python client (`kubernetes` on PyPI) against the server: its own list, watch, patch and delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.server import serving

kubernetes = pytest.importorskip("kubernetes", reason="the kubernetes client is not installed")


@pytest.fixture
def core() -> Iterator[Any]:
    with serving("--listen", "127.0.0.1:0") as url:
        configuration = kubernetes.client.Configuration()
        configuration.host = url
        with kubernetes.client.ApiClient(configuration) as client:
            yield kubernetes.client.CoreV1Api(client)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"a": "b"}}, "data": data}


def test_objects_are_listed_page_by_page_patched_and_deleted(core: Any) -> None:
    for index in range(7):
        core.create_namespaced_config_map("default", config_map(f"c{index}", n=str(index)))
    first = core.list_namespaced_config_map("default", limit=5, label_selector="a=b")
    rest = core.list_namespaced_config_map("default", limit=5, label_selector="a=b", _continue=first.metadata._continue)
    assert [item.metadata.name for item in (*first.items, *rest.items)] == [f"c{i}" for i in range(7)]
    patched = core.patch_namespaced_config_map("c0", "default", {"data": {"more": "1"}})
    assert patched.data == {"n": "0", "more": "1"}
    listed = core.patch_namespaced_config_map("c0", "default", [{"op": "remove", "path": "/data/n"}])
    assert listed.data == {"more": "1"}
    patched.metadata.resource_version = "1"
    with pytest.raises(kubernetes.client.ApiException) as conflict:
        core.replace_namespaced_config_map("c0", "default", patched)
    assert conflict.value.status == 409
    core.delete_namespaced_config_map("c0", "default")
    with pytest.raises(kubernetes.client.ApiException) as missing:
        core.read_namespaced_config_map("c0", "default")
    assert missing.value.status == 404
    core.delete_collection_namespaced_config_map("default", label_selector="a=b")
    assert not core.list_namespaced_config_map("default", label_selector="a=b").items


def test_a_watch_sees_what_happens_and_ends_when_it_should(core: Any) -> None:
    version = core.list_namespaced_config_map("default").metadata.resource_version
    core.create_namespaced_config_map("default", config_map("x"))
    core.patch_namespaced_config_map("x", "default", {"data": {"k": "v"}})
    core.delete_namespaced_config_map("x", "default")
    watch = kubernetes.watch.Watch()
    events = watch.stream(
        core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=1, _request_timeout=10
    )
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
