"""Whatever happens between a client and the server, in the end the cache is what the server has."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kapi.backoff import Backoff
from kapi.cache import Cache
from kapi.client import Client
from kapi.errors import ApiError, ConnectionLost, from_status
from kapi.informer import Informer
from kapi.resources import CONFIG_MAPS
from kapi.testing import Served, informing, serving
from kapi.transport import HttpTransport, Request, Transport
from kapi.versions import Versions

Json = dict[str, Any]
Sleep = Callable[[float], Awaitable[None]]


def plain(obj: Json) -> Json:
    """Keep an object whole: its version too must be the server's."""
    return obj


async def soon(_: float) -> None:
    """Do not wait as long as one should."""
    await asyncio.sleep(0.001)


@asynccontextmanager
async def informed(client: Client, *, sleep: Sleep = soon, watch_list: bool = False) -> AsyncIterator[Cache[Json]]:
    cache = Cache(CONFIG_MAPS, plain)
    async with informing(Informer(client, cache, namespace="default", sleep=sleep, watch_list=watch_list)):
        yield cache


async def equal(served: Served, cache: Cache[Json], seconds: float = 15.0) -> None:
    """Wait until the cache is what the server has."""
    end = time.monotonic() + seconds
    while True:
        listed = (await served.client.list(CONFIG_MAPS, "default")).items
        there = {f"default/{obj['metadata']['name']}": obj for obj in listed}
        if dict(cache) == there:
            return
        assert time.monotonic() < end, f"{len(cache)} of {len(there)} objects, or other versions of them"
        await asyncio.sleep(0.02)


async def churn(served: Served, rounds: int, draw: random.Random, pause: float = 0.0, *, names: int = 8) -> None:
    """Create, change and delete some objects."""
    for index in range(rounds):
        name = f"c{draw.randrange(names)}"
        obj = {"metadata": {"name": name, "namespace": "default"}, "data": {"n": str(index)}}
        try:
            if draw.random() < 0.3:
                await served.client.delete(CONFIG_MAPS, name, "default")
            elif draw.random() < 0.5:
                await served.client.create(CONFIG_MAPS, obj)
            else:
                await served.client.update(CONFIG_MAPS, obj)
        except ApiError:
            continue
        await asyncio.sleep(pause)


class Proxy:
    """A proxy on 127.0.0.1 before a server. It cuts each connection after so many bytes of the answer: the next of
    `limits`, or never where none is left. With `silence` the first watch says nothing at all and stays open. With
    `crumb` answers come in so many bytes at a time, slowly.
    """

    def __init__(self, target: int, limits: list[int], *, silence: bool = False, crumb: int = 0) -> None:
        self.limits = limits
        self.silence = silence
        self.crumb = crumb
        self.cuts = 0
        self.silent = asyncio.Event()
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def client(self, **arguments: Any) -> AsyncIterator[Client]:
        """Serve, and give a client that comes through here."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        client = Client(HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **arguments))
        try:
            yield client
        finally:
            await client.close()
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.limits.pop(0) if self.limits else None
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        asking = asyncio.create_task(self._ask(reader, inner_writer))
        try:
            while data := await inner_reader.read(65536):
                await self._keep_silent(data)
                await self._give(writer, data if left is None else data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    self.cuts += 1
                    break
        except OSError:
            pass
        finally:
            asking.cancel()
            for end in (writer, inner_writer):
                end.transport.abort()

    async def _give(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self.crumb or len(data) or 1
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            if self.crumb:
                await asyncio.sleep(0.0005)

    async def _keep_silent(self, data: bytes) -> None:
        if self.silence and b"chunked" in data and not self.silent.is_set():
            self.silent.set()
            await asyncio.Event().wait()

    async def _ask(self, reader: asyncio.StreamReader, inner: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                inner.write(data)


def port_of(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


async def test_connections_may_be_cut_at_every_byte() -> None:
    async with serving() as served:
        await churn(served, 30, random.Random(1), names=3)
        proxy = Proxy(port_of(served), list(range(1, 900)))
        async with proxy.client() as client, informed(client) as cache:
            changing = asyncio.create_task(churn(served, 5000, random.Random(2), 0.003, names=3))
            async with asyncio.timeout(60):
                while proxy.limits:  # noqa: ASYNC110  # the proxy has no event for it
                    await asyncio.sleep(0.05)
            changing.cancel()
            assert proxy.cuts > 500, "most connections were cut, and not only closed"
            await equal(served, cache)
            await churn(served, 20, random.Random(3))
            await equal(served, cache)


class Faulty:
    """A way to the server that loses, refuses, doubles, delays and shuffles."""

    def __init__(self, inner: Transport, draw: random.Random) -> None:
        self.inner = inner
        self.draw = draw
        self.calm = False
        self.faults = 0

    def _fail(self) -> None:
        if self.calm or self.draw.random() > 0.4:
            return
        self.faults += 1
        code = self.draw.choice([0, 0, 410, 429, 500, 503, 504])
        if not code:
            raise ConnectionLost("the connection was cut")
        details = {"retryAfterSeconds": 0.001} if code == 429 else {}
        raise from_status({"code": code, "message": f"a {code}", "details": details})

    async def send(self, request: Request) -> Json:
        self._fail()
        answer = await self.inner.send(request)
        await asyncio.sleep(0.001)
        self._fail()
        return answer

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Json]]:
        self._fail()
        async with self.inner.stream(request) as events:
            yield self._shuffled(events)

    async def _shuffled(self, events: AsyncIterator[Json]) -> AsyncIterator[Json]:
        held: list[Json] = []
        async for event in events:
            held.append(event)
            if event["type"] == "BOOKMARK":  # what came before it has come before it
                for one in held:
                    yield one
                held.clear()
                continue
            if len(held) < self.draw.randrange(1, 4) and not self.calm:
                continue
            if not self.calm:
                held += self.draw.sample(held, self.draw.randrange(len(held) + 1))  # doubled
                self.draw.shuffle(held)
            for one in held:
                yield one
            held.clear()
            if not self.calm and self.draw.random() < 0.1:
                yield {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
            self._fail()

    async def close(self) -> None:
        await self.inner.close()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("watch_list", [False, True], ids=["lists", "watch lists"])
async def test_refusals_losses_doubles_and_disorder_leave_the_cache_as_the_server(seed: int, watch_list: bool) -> None:
    draw = random.Random(seed)
    async with serving() as served:
        faulty = Faulty(served.client.transport, draw)
        async with informed(Client(faulty), watch_list=watch_list) as cache:
            await churn(served, 400, draw, 0.001)
            faulty.calm = True
            await churn(served, 10, draw)
            await equal(served, cache)
        assert faulty.faults > 5


async def test_a_server_that_gives_crumbs_is_understood() -> None:
    async with serving() as served:
        await churn(served, 20, random.Random(1))
        async with Proxy(port_of(served), [], crumb=7).client() as client, informed(client) as cache:
            await churn(served, 60, random.Random(2), 0.002)
            await equal(served, cache)


async def test_a_connection_that_has_gone_silent_is_given_up() -> None:
    async with serving() as served:
        proxy = Proxy(port_of(served), [], silence=True)
        async with proxy.client(read_timeout=0.3) as client, informed(client) as cache:
            await proxy.silent.wait()
            await served.client.create(CONFIG_MAPS, {"metadata": {"name": "x"}}, "default")
            await equal(served, cache, 5)


async def test_a_server_that_comes_back_empty_is_believed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    client = Client.connect(f"http://127.0.0.1:{port}")
    async with informed(client, sleep=lambda _: asyncio.sleep(0.05)) as cache:
        for rounds in (40, 3):
            async with serving() as served:
                await served.server.listen(socket.create_server(("127.0.0.1", port)))
                await churn(served, rounds, random.Random(rounds))
                await equal(served, cache)
    await client.close()


async def test_a_server_without_watch_lists_is_asked_for_a_list() -> None:
    class Refusing(Faulty):
        @asynccontextmanager
        async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Json]]:
            if "sendInitialEvents" in request.query:
                raise from_status({"code": 422, "reason": "Invalid", "message": "sendInitialEvents is forbidden"})
            async with self.inner.stream(request) as events:
                yield events

    async with serving() as served:
        refusing = Refusing(served.client.transport, random.Random(0))
        refusing.calm = True
        async with informed(Client(refusing), watch_list=True) as cache:
            await churn(served, 20, random.Random(1))
            await equal(served, cache)


def test_delays_grow_are_jittered_and_begin_anew() -> None:
    backoff = Backoff(0.2, 1.0, lambda: 0.5)
    assert [round(backoff.failed(), 3) for _ in range(5)] == [0.3, 0.6, 1.2, 1.5, 1.5]
    assert backoff.failed(least=7.0) == 10.5
    backoff.reset()
    assert round(backoff.failed(), 3) == 0.3


def test_old_news_is_told_from_new() -> None:
    versions = Versions()
    versions.replace({"a": "5", "b": "opaque"})
    assert not versions.is_news("a", "5")
    assert versions.is_news("a", "6")
    assert versions.is_news("b", "whatever")
    versions.take("a", "9", gone=True)
    assert not versions.is_news("a", "8"), "what was deleted does not come back by a late event"
    assert versions.is_news("a", "10")
