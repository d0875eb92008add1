"""An informer keeps its cache equal to the server, whatever the server and the connection do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from kapi import decode
from kapi.cache import Cache
from kapi.client import Client
from kapi.informer import Informer
from kapi.network import Service
from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kapi.testing import informing

Json = dict[str, Any]
Watch = Callable[[web.StreamResponse], Any]


def service(name: str, version: int, port: int = 80) -> Json:
    meta = {"name": name, "namespace": "shop", "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"ports": [{"port": port}]}}


def line(kind: str, obj: Json) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


OPEN = 3600.0  # a watch that says nothing more
EXPIRED = line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


class Script:
    """A server on 127.0.0.1 that answers lists from `state` and each watch with the next of `watches`."""

    def __init__(self) -> None:
        self.state: list[Json] = []
        self.version = 10
        self.watches: list[list[bytes | float]] = []
        self.over = asyncio.Event()
        self.lists = 0
        self.failing = False  # beyond the first page of a list
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.lists += 1
            meta = {"resourceVersion": str(self.version)}
            if self.failing and "continue" in request.query:
                raise web.HTTPServiceUnavailable
            return web.json_response(
                {"items": self.state, "metadata": meta | ({"continue": "2"} if self.failing else {})}
            )
        self.asked.append(dict(request.query))
        response = web.StreamResponse()
        await response.prepare(request)
        for part in self.watches.pop(0) if self.watches else [OPEN]:
            if isinstance(part, float):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.over.wait(), part)
            else:
                await response.write(part)
        return response


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    script = Script()
    app = web.Application()
    app.router.add_get("/api/v1/services", script.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    script.url = runner.addresses[0]  # type: ignore[attr-defined]
    yield script
    script.over.set()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def informed(script: Script, **world: Any) -> AsyncIterator[Cache[Service]]:
    host, port = script.url[:2]  # type: ignore[attr-defined]
    client = Client.connect(f"http://{host}:{port}")
    cache = Cache(SERVICES, decode.service)
    try:
        async with informing(Informer(client, cache, **world)):
            yield cache
    finally:
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # a cache has no event for every state a test waits for
            await asyncio.sleep(0.01)


async def test_it_lists_then_follows(script: Script) -> None:
    script.state = [service("a", 3)]
    script.watches = [[line("ADDED", service("b", 11)), line("DELETED", service("a", 12)), OPEN]]
    async with informed(script) as cache:
        await until(lambda: list(cache) == ["shop/b"])
        assert cache.synced
    assert script.asked[0]["resourceVersion"] == "10"
    assert script.asked[0]["allowWatchBookmarks"] == "true"


async def test_after_a_lost_connection_it_goes_on_where_it_was_without_a_new_list(script: Script) -> None:
    script.watches = [[line("ADDED", service("a", 11)), bookmark(17)], [line("ADDED", service("b", 18)), OPEN]]
    async with informed(script) as cache:
        await until(lambda: len(cache) == 2)
    assert script.asked[1]["resourceVersion"] == "17"
    assert script.lists == 1


async def test_an_expired_version_means_a_new_list_and_what_vanished_meanwhile_is_removed(script: Script) -> None:
    script.state = [service("old", 3), service("kept", 4)]
    script.watches = [[0.05, EXPIRED], [OPEN]]
    async with informed(script) as cache:
        await until(lambda: len(cache) == 2)
        script.state = [service("kept", 4), service("new", 30)]
        script.version = 31
        await until(lambda: set(cache) == {"shop/kept", "shop/new"})
    assert script.lists == 2
    assert script.asked[-1]["resourceVersion"] == "31"


async def test_a_version_that_is_found_expired_after_an_outage_means_a_new_list_at_once(script: Script) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    ended: list[list[bytes | float]] = [[] for _ in range(8)]
    script.watches = [[bookmark(17)], *ended, [EXPIRED], [EXPIRED], [OPEN]]
    async with informed(script, sleep=sleep):
        await until(lambda: script.lists == 3)
        await until(lambda: not script.watches)
    assert len(slept) == 8 + 1, "8 failures of the outage, none for the first expiry, and one for the second in a row"


async def test_who_finds_an_outage_over_tells_the_others(script: Script) -> None:
    host, port = script.url[:2]  # type: ignore[attr-defined]
    client = Client.connect(f"http://{host}:{port}")
    script.watches = [[], [OPEN]]

    async def never(_: float) -> None:
        await asyncio.Event().wait()

    first = Informer(client, Cache(SERVICES, decode.service), sleep=never)
    async with informing(first):
        await until(lambda: len(script.asked) == 1)
        await asyncio.sleep(0.05)
        async with informing(Informer(client, Cache(SERVICES, decode.service))):
            await until(lambda: len(script.asked) == 3)
    await client.close()


async def test_a_page_of_a_list_does_not_say_that_an_outage_is_over(script: Script) -> None:
    host, port = script.url[:2]  # type: ignore[attr-defined]
    client = Client.connect(f"http://{host}:{port}")
    assert client.outage.is_news(0.0, 30.0)
    script.failing = True
    async with informing(Informer(client, Cache(SERVICES, decode.service))):
        await until(lambda: script.lists >= 2)
        await asyncio.sleep(0.05)
        assert not client.outage.is_news(1.0, 30.0), "only a whole state ends it"
        script.failing = False
        await until(lambda: client.outage.is_news(1.0, 0.0))
    await client.close()


async def test_events_may_be_cut_anywhere(script: Script) -> None:
    whole = line("ADDED", service("a", 11)) + line("MODIFIED", service("a", 12, port=81))
    script.watches = [[part for byte in whole for part in (bytes([byte]), 0.0)] + [OPEN]]
    async with informed(script) as cache:
        await until(lambda: "shop/a" in cache and cache["shop/a"].ports[0].port == 81)


async def test_half_an_event_is_never_taken(script: Script) -> None:
    half = line("ADDED", service("a", 11, port=81))[:-20]
    script.watches = [[line("ADDED", service("b", 10)), half], [line("ADDED", service("a", 11)), OPEN]]
    async with informed(script) as cache:
        await until(lambda: "shop/a" in cache)
        assert cache["shop/a"].ports[0].port == 80
    assert script.asked[1]["resourceVersion"] == "10"


async def test_watches_that_end_at_once_do_not_make_it_spin(script: Script) -> None:
    script.watches = [[] for _ in range(100)]
    async with informed(script):
        await asyncio.sleep(1.0)
    assert len(script.asked) <= 5


async def test_refusals_are_retried(script: Script) -> None:
    script.watches = [[line("ERROR", {"kind": "Status", "code": 500, "message": "a bad day"})], [OPEN]]
    script.state = [service("a", 3)]
    async with informed(script) as cache:
        await until(lambda: len(script.asked) == 2)
        assert list(cache) == ["shop/a"]


async def test_an_outage_is_told_of_once_a_round_whoever_asks_and_in_the_systems_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        url = f"http://127.0.0.1:{once.getsockname()[1]}"
    client, waiting = Client.connect(url), []

    async def sleep(delay: float) -> None:
        waiting.append(delay)
        await asyncio.Event().wait()

    resources = (SERVICES, ENDPOINT_SLICES, NAMESPACES)
    informers = [
        Informer(client, Cache(resource, lambda obj: obj), clock=lambda: 1000.0, sleep=sleep) for resource in resources
    ]
    jobs = [asyncio.create_task(informer.run()) for informer in informers]
    async with asyncio.timeout(5):
        while len(waiting) < len(jobs):  # noqa: ASYNC110  # what is waited for is that they wait
            await asyncio.sleep(0.01)
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    await client.close()
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert url in said
    assert ": Connection refused; trying again in " in said


async def test_once_a_cache_is_in_use_a_large_state_is_taken_in_a_little_at_a_time(script: Script) -> None:
    script.state = [service(f"s{index}", index + 1) for index in range(40)]
    turns, seen = 0, list[int]()

    def slow(obj: Json) -> Service:
        time.sleep(0.001)
        seen.append(turns)
        return decode.service(obj)

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    host, port = script.url[:2]  # type: ignore[attr-defined]
    client, cache = Client.connect(f"http://{host}:{port}"), Cache(SERVICES, slow)
    cache.mark_synced()
    tasks = [asyncio.create_task(job) for job in (Informer(client, cache).run(), turn())]
    await until(lambda: len(cache) == 40)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
    assert len(set(seen)) >= 4, "others had the loop in between"
