"""Time and room are bounded, for each client and for all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n"


@pytest.fixture
async def hasty(start: Any, upstream: Any) -> Any:
    """An ingress with little patience."""
    live, web = (
        await start(head_timeout=0.3, keep_alive=0.3, body_timeout=0.3, send_timeout=0.3, upstream_idle=0.3),
        None,
    )
    web = await upstream()
    live.service("web", web)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    return live, web


async def test_a_head_that_comes_drop_by_drop_is_not_waited_for(hasty: Any) -> None:
    live, _ = hasty
    reader, writer = await live.connect()

    async def drip() -> None:
        for byte in GET:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    told = await asyncio.wait_for(reader.read(), 2)
    assert told.startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    writer.close()


async def test_a_connection_without_a_request_is_closed(hasty: Any) -> None:
    live, _ = hasty
    reader, writer = await live.connect()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()


async def test_an_idle_connection_is_closed(hasty: Any) -> None:
    live, _ = hasty
    reader, writer = await live.connect()
    writer.write(GET + b"\r\n")
    assert (await asyncio.wait_for(reader.read(), 2)).endswith(b"ok")
    writer.close()


async def test_a_body_that_stops_coming_is_not_waited_for(hasty: Any) -> None:
    live, web = hasty
    reader, writer = await live.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nhello")
    assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"HTTP/1.1 408 ")
    assert web.requests == []
    writer.close()


async def test_a_body_that_comes_drop_by_drop_is_not_waited_for_either(start: Any, upstream: Any) -> None:
    live, web = await start(body_timeout=0.3, body_rate=100.0), await upstream()
    live.service("web", web)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    reader, writer = await live.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100000\r\n\r\n")

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert (await asyncio.wait_for(reader.read(), 3)).startswith(b"HTTP/1.1 408 ")
    assert web.requests == []
    dripping.cancel()
    writer.close()


async def test_a_body_that_is_answered_while_it_comes_may_take_its_time(start: Any, upstream: Any) -> None:
    live = await start(body_timeout=1.0, body_rate=100.0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            writer.write(await reader.readexactly(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    live.service("web", server.sockets[0].getsockname()[1])
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    reader, writer = await live.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\n")
    for digit in b"0123456789":
        writer.write(bytes((digit,)))
        await asyncio.sleep(0.15)
    assert (await asyncio.wait_for(reader.read(), 3)).endswith(b"\r\n\r\n0123456789")
    writer.close()
    server.close()


async def test_a_client_that_takes_nothing_is_dropped(hasty: Any) -> None:
    live, web = hasty

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    web.answer = answer
    _, writer = await live.connect()
    writer.write(GET + b"\r\n")
    await live.until(lambda: web.requests and not live.gateway.clients)
    assert not live.gateway.upstreams.connections
    writer.transport.abort()


async def test_an_idle_upstream_connection_is_closed(hasty: Any) -> None:
    live, _ = hasty
    assert (await live.get())[0] == 200
    assert len(live.gateway.upstreams.connections) == 1
    await live.until(lambda: not live.gateway.upstreams.connections)


async def test_more_connections_than_allowed_are_turned_away(start: Any, upstream: Any) -> None:
    live = await start(connections=2)
    live.service("web", await upstream())
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    kept = [await live.connect() for _ in range(2)]
    await asyncio.sleep(0.05)
    assert (await live.get())[0] == 503
    for _, writer in kept:
        writer.close()


@pytest.mark.parametrize(("connections", "status"), [(100, 429), (2, 503)])
async def test_one_client_cannot_take_all_connections(start: Any, upstream: Any, connections: int, status: int) -> None:
    live = await start(client_connections=2, connections=connections)
    live.service("web", await upstream())
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    kept = [await live.connect() for _ in range(2)]
    await live.until(lambda: len(live.gateway.clients) == 2)
    assert (await live.get())[0] == status
    await live.until(lambda: len(live.gateway.clients) == 2)
    assert (await live.get())[0] == status
    kept.pop()[1].close()
    await live.until(lambda: len(live.gateway.clients) == 1)
    other, writer = await asyncio.open_connection("127.0.0.1", live.port, local_addr=("127.0.0.2", 0))
    writer.write(GET + b"Connection: close\r\n\r\n")
    assert (await other.readline()).split()[1] == b"200"
    for _, each in [*kept, (other, writer)]:
        each.close()
    await live.until(lambda: not live.gateway.clients)
    assert (await live.get())[0] == 200


@pytest.mark.parametrize("line", [b"X-%d: a\r\n", b"X-%d: " + b"a" * 200 + b"\r\n"])
async def test_a_flood_of_headers_is_cut_off_at_the_limit(shop: Any, line: bytes) -> None:
    live, web = shop
    reader, writer = await live.connect()
    writer.write(GET)

    async def flood() -> None:
        for number in range(1_000_000):
            writer.write(line % number)
            await writer.drain()

    flooding = asyncio.create_task(flood())
    assert (await asyncio.wait_for(reader.readline(), 3)).startswith(b"HTTP/1.1 431 ")
    flooding.cancel()
    assert not web.requests
    writer.transport.abort()
    await live.until(lambda: not live.gateway.clients)


async def test_a_flood_of_pipelined_requests_is_read_no_faster_than_it_is_answered(
    shop: Any, patient: asyncio.Event
) -> None:
    live, web = shop
    _, writer = await live.connect()
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            writer.write((GET + b"\r\n") * 1000)
            await writer.drain()
            sent += 1000

    flooding = asyncio.create_task(flood())
    before = -1
    while before != sent or not sent:
        before = sent
        await asyncio.sleep(0.2)
    (client,) = live.gateway.clients
    assert len(client._events) < 20_000
    assert len(web.requests) == 1
    flooding.cancel()
    patient.set()
    writer.transport.abort()


async def test_time_goes_on_after_a_turn_of_the_housekeeping_has_failed(
    hasty: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    live, _ = hasty
    failed = asyncio.Event()

    def fail() -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("once")

    monkeypatch.setattr(live.gateway.metrics, "gather", fail)
    await asyncio.wait_for(failed.wait(), 2)
    reader, writer = await live.connect()
    writer.write(GET[:5])
    assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"HTTP/1.1 408 ")
    assert "a turn of the housekeeping failed" in caplog.text
    writer.close()
