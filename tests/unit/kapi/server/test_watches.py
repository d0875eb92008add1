"""Lists and watches: what is seen, from which version on, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kapi.errors import BadRequest, Expired, Invalid, StatusError
from kapi.resources import CONFIG_MAPS, PODS
from kapi.store.memory import MemoryStore
from kapi.testing import Served, serving
from kapi.transport import Request

Json = dict[str, Any]


async def make(served: Served, name: str, **labels: str) -> Json:
    return await served.client.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}})


async def label(served: Served, name: str, **labels: str | None) -> Json:
    return await served.client.patch(CONFIG_MAPS, name, {"metadata": {"labels": labels}}, "default")


async def seen(served: Served, count: int, **query: str) -> list[tuple[str, str]]:
    """The first events of a watch, as type and name."""
    request = Request("GET", CONFIG_MAPS.path("default"), {"watch": "true", **query})
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(5), served.http.transport.stream(request) as stream:
        async for event in stream:
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
            if len(found) == count:
                break
    return found


async def test_without_a_version_what_there_is_comes_first(served: Served) -> None:
    await make(served, "a")
    await make(served, "b")
    assert await seen(served, 2) == [("ADDED", "a"), ("ADDED", "b")]
    assert await seen(served, 2, resourceVersion="0") == [("ADDED", "a"), ("ADDED", "b")]


async def test_from_a_version_on_only_what_happened_since(served: Served) -> None:
    made = await make(served, "a")
    await make(served, "b")
    await label(served, "b", x="1")
    await served.client.delete(CONFIG_MAPS, "a", "default")
    version = made["metadata"]["resourceVersion"]
    assert await seen(served, 3, resourceVersion=version) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]


async def test_entering_and_leaving_a_selector_are_addition_and_deletion(served: Served) -> None:
    start = (await make(served, "a", app="x"))["metadata"]["resourceVersion"]
    await label(served, "a", app="y")
    await label(served, "a", app="z")
    await label(served, "a", app="x")
    await served.client.delete(CONFIG_MAPS, "a", "default")
    events = await seen(served, 3, resourceVersion=start, labelSelector="app=x")
    assert events == [("DELETED", "a"), ("ADDED", "a"), ("DELETED", "a")]


async def test_a_deletion_carries_its_own_version(served: Served) -> None:
    made = await make(served, "a")
    version = made["metadata"]["resourceVersion"]
    await served.client.delete(CONFIG_MAPS, "a", "default")
    async with served.client.watch(CONFIG_MAPS, "default", resource_version=version) as stream:
        event = await anext(stream)
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)


async def test_initial_events_end_with_their_bookmark(served: Served) -> None:
    await make(served, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    request = Request("GET", CONFIG_MAPS.path("default"), {"watch": "true", **query})
    async with served.http.transport.stream(request) as stream:
        events = [await anext(stream), await anext(stream)]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(
    "query",
    [
        {"sendInitialEvents": "true"},
        {"watch": "true", "sendInitialEvents": "true", "allowWatchBookmarks": "true"},
        {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_initial_events_are_asked_for_properly_or_refused(served: Served, query: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="sendInitialEvents"):
        await served.http.transport.send(Request("GET", CONFIG_MAPS.path("default"), query))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"resourceVersionMatch": "Exact"}, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 'is forbidden for resourceVersion "0"'),
        ({"resourceVersionMatch": "Odd", "resourceVersion": "1"}, 'Unsupported value: "Odd"'),
        ({"resourceVersionMatch": "Exact", "watch": "1"}, "is forbidden for watch unless sendInitialEvents is"),
    ],
)
async def test_options_that_exclude_each_other_are_refused(served: Served, query: dict[str, str], why: str) -> None:
    with pytest.raises(Invalid, match=f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: .*{why}'):
        await served.http.transport.send(Request("GET", CONFIG_MAPS.path("default"), query))


async def test_a_watch_ends_on_time_with_a_bookmark_before(served: Served) -> None:
    version = (await make(served, "a"))["metadata"]["resourceVersion"]
    started = asyncio.get_running_loop().time()
    async with served.http.watch(CONFIG_MAPS, resource_version=version, timeout_seconds=1) as stream:
        kinds = [event["type"] async for event in stream]
    assert kinds == ["BOOKMARK"]
    assert 0.8 < asyncio.get_running_loop().time() - started < 3


async def test_history_from_before_the_start_is_expired() -> None:
    store = MemoryStore()
    async with serving(store) as served:
        old = (await make(served, "a"))["metadata"]["resourceVersion"]
        await make(served, "b")
    async with serving(store) as served:
        with pytest.raises(Expired, match=f"too old resource version: {old} "):
            async with served.http.watch(CONFIG_MAPS, resource_version=old):
                pass


async def test_a_version_of_the_future_is_refused_after_a_while(served: Served) -> None:
    with pytest.raises(StatusError, match="Too large resource version: 99999, current: ") as refusal:
        await served.http.list(CONFIG_MAPS, resource_version="99999")
    assert refusal.value.status["details"]["retryAfterSeconds"] == 1


async def test_pages_are_all_true_at_the_version_of_the_first(served: Served) -> None:
    for index in range(7):
        await make(served, f"c{index}")
    first = await served.http.list(CONFIG_MAPS, "default", limit=3)
    await served.client.delete(CONFIG_MAPS, "c5", "default")
    await make(served, "c55")
    second = await served.http.list(CONFIG_MAPS, "default", limit=3, page=first.next_page)
    third = await served.http.list(CONFIG_MAPS, "default", limit=3, page=second.next_page)
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page.items]
    assert names == [f"c{index}" for index in range(7)]
    assert {page.resource_version for page in (first, second, third)} == {first.resource_version}
    assert third.next_page == ""


async def test_a_malformed_page_is_refused(served: Served) -> None:
    for page in ("x", "bm9wZQ", "e30"):
        with pytest.raises(BadRequest, match="continue key is not valid"):
            await served.http.list(CONFIG_MAPS, page=page, limit=1)


async def test_selectors_choose_what_is_listed(served: Served) -> None:
    await make(served, "a", app="x")
    await make(served, "b", app="y")
    assert [i["metadata"]["name"] for i in (await served.http.list(CONFIG_MAPS, labels="app=x")).items] == ["a"]
    assert [i["metadata"]["name"] for i in (await served.http.list(CONFIG_MAPS, fields="metadata.name=b")).items] == [
        "b"
    ]
    with pytest.raises(BadRequest, match=r"field label not supported: spec\.odd"):
        await served.http.list(PODS, fields="spec.odd=1")
    with pytest.raises(BadRequest, match="unable to parse requirement"):
        await served.http.list(PODS, labels="=")


async def test_a_hundred_watchers_miss_nothing(served: Served) -> None:
    async def follow() -> int:
        async with served.client.watch(CONFIG_MAPS, "default") as stream:
            names = set()
            async for event in stream:
                names.add(event["object"]["metadata"]["name"])
                if len(names) == 50:
                    return len(names)
        return 0

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(100)]
        for index in range(50):
            await make(served, f"c{index}")
    assert {task.result() for task in followers} == {50}
