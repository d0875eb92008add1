"""Routes and endpoints change while requests are made: live at once, and no request fails."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from kapi.resources import INGRESS_CLASSES, INGRESSES, SERVICES
from kingress import routes


class Load:
    """Requests from several keep-alive connections until stopped; counts what was answered, keeps what failed."""

    def __init__(self, live: Any, connections: int = 8) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self.live = live
        self._connections = connections
        self._stop = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._connections)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        reader, writer = await self.live.connect()
        while not self._stop:
            writer.write(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            try:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
                self.failed.append(repr(error))
                break
            if b" 200 " in head:
                self.answered += 1
            else:
                self.failed.append(head.decode())
        writer.close()


async def until(load: Load, more: int) -> None:
    """Wait until `more` requests have been answered."""
    wanted = load.answered + more
    await load.live.until(lambda: load.answered >= wanted or load.failed, 10)


async def test_a_rolling_restart_of_all_endpoints_fails_no_request(shop: Any, upstream: Any) -> None:
    live, _ = shop
    pods = [await upstream(b"%d" % i) for i in range(4)]
    live.service("web", *pods)
    async with Load(live) as load:
        await until(load, 50)
        for i in range(4):
            new = await upstream(b"new")
            old, pods[i] = pods[i], new
            live.service("web", *pods)
            await until(load, 20)
            await old.stop()
            await until(load, 20)
    assert load.failed == []
    assert all(pod.requests for pod in pods)


async def test_endpoints_that_die_before_anyone_says_so_fail_no_request(shop: Any, upstream: Any) -> None:
    live, _ = shop
    pods = [await upstream() for _ in range(3)]
    live.service("web", *pods)
    async with Load(live) as load:
        await until(load, 50)
        await pods[0].stop()
        await until(load, 100)
        live.service("web", *pods[1:])
        await until(load, 50)
    assert load.failed == []


async def test_route_edits_under_load_fail_no_request(shop: Any, upstream: Any) -> None:
    live, web = shop
    other = await upstream(b"other")
    live.service("other", other)
    async with Load(live) as load:
        for i, service in zip(range(20), itertools.cycle(["other", "web"]), strict=False):
            live.ingress("web", [("shop.example", "Prefix", "/", service), ("shop.example", "Exact", f"/{i}", "web")])
            await until(load, 10)
    assert load.failed == []
    assert web.requests
    assert other.requests


async def test_a_changed_route_and_a_changed_endpoint_are_live_with_the_next_request(shop: Any, upstream: Any) -> None:
    live, _ = shop
    blue, green = await upstream(b"blue"), await upstream(b"green")
    live.service("blue", blue)
    for _ in range(3):
        live.ingress("web", [("shop.example", "Prefix", "/", "blue")])
        assert await live.get() == (200, b"blue")
        live.service("blue", green)
        assert await live.get() == (200, b"green")
        live.service("blue", blue)
        live.ingress("web", [("shop.example", "Prefix", "/", "web")])
        assert await live.get() == (200, b"ok")


async def test_a_change_among_many_routes_costs_the_work_for_what_has_changed(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, _ = shop
    for i in range(1000):
        live.ingress(f"i{i}", [(f"h{i}.example", "Prefix", "/", f"s{i}")])
    compiled: list[int] = []
    original = routes.compile_host

    def counted(claimed: Any) -> Any:
        claims = list(claimed)
        compiled.append(len(claims))
        return original(claims)

    monkeypatch.setattr(routes, "compile_host", counted)
    live.ingress("i7", [("h7.example", "Prefix", "/new", "web")])
    assert compiled == [1]
    assert (await live.get("/new", "h7.example"))[0] == 200
    refreshed: list[Any] = []
    monkeypatch.setattr(live.gateway.upstreams, "_update", refreshed.append)
    live.service("s8")
    assert len(refreshed) == 0, "nobody has asked for it yet"
    live.service("web")
    assert {backend.name for backend in refreshed} == {"shop/web:80"}


async def test_balancing_reaches_every_endpoint(shop: Any, upstream: Any) -> None:
    live, _ = shop
    pods = [await upstream() for _ in range(10)]
    live.service("web", *pods)
    for _ in range(100):
        assert (await live.get())[0] == 200
    assert [len(pod.requests) for pod in pods] == [10] * 10


async def test_an_endpoint_that_terminates_but_serves_is_used_only_where_no_other_is(shop: Any, upstream: Any) -> None:
    live, _ = shop
    last = await upstream(b"last")
    live.service("web", last, ready=False, serving=True, terminating=True)
    assert await live.get() == (200, b"last")
    live.service("web", last, ready=False, serving=False, terminating=True)
    assert (await live.get())[0] == 503


async def test_a_gone_endpoint_keeps_no_connection(shop: Any, upstream: Any) -> None:
    live, web = shop
    assert (await live.get())[0] == 200
    assert web.open == 1
    live.service("web", await upstream())
    await live.until(lambda: not web.open)


async def test_an_ingress_belongs_to_us_only_through_its_class(shop: Any) -> None:
    live, _ = shop
    live.remove(INGRESS_CLASSES, "kproxy", "")
    live.source.caches[INGRESS_CLASSES].remove("kproxy")
    assert (await live.get())[0] == 404
    live.put(INGRESS_CLASSES, {"metadata": {"name": "kproxy"}, "spec": {"controller": "example.com/other"}})
    assert (await live.get())[0] == 404
    live.put(INGRESS_CLASSES, {"metadata": {"name": "kproxy"}, "spec": {"controller": "kproxy.io/ingress"}})
    assert (await live.get())[0] == 200
    live.remove(INGRESSES, "web")
    assert (await live.get())[0] == 404


async def test_a_bad_object_touches_nothing_but_itself(shop: Any) -> None:
    live, _ = shop
    live.put(INGRESSES, {"metadata": {"namespace": "shop"}, "spec": 7})
    live.put(INGRESSES, {"metadata": {"namespace": "shop", "name": "bad"}, "spec": {"rules": [{"host": "*"}, 3]}})
    live.put(SERVICES, {"metadata": {"namespace": "shop", "name": "bad"}, "spec": {"ports": [{"port": "x"}]}})
    assert (await live.get())[0] == 200


async def test_while_many_ingresses_are_reported_on_requests_come_between(shop: Any) -> None:
    live, _ = shop
    for number in range(100):
        live.ingress(f"i{number}", [(f"h{number}.example", "Prefix", "/", "web")])
    reporting, turns = asyncio.create_task(live.controller._queue.work(live.controller._report)), 0
    while len(live.controller._queue):
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 100
    reporting.cancel()


@pytest.mark.parametrize("connections", [1, 20])
async def test_draining_lets_responses_end_and_takes_no_more(
    shop: Any, patient: asyncio.Event, connections: int
) -> None:
    live, web = shop
    idle = await live.connect()
    busy = [await live.connect() for _ in range(connections)]
    for _, writer in busy:
        writer.write(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    await live.until(lambda: len(web.requests) == connections)
    draining = asyncio.create_task(live.server.drain())
    assert await asyncio.wait_for(idle[0].read(), 2) == b""
    with pytest.raises(ConnectionRefusedError):
        await live.connect()
    patient.set()
    for reader, writer in busy:
        told = await asyncio.wait_for(reader.read(), 2)
        assert told.endswith(b"ok")
        assert b"Connection: close" in told
        writer.close()
    idle[1].close()
    await asyncio.wait_for(draining, 2)
