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


async def test_a_flood_of_pipelined_requests_is_read_no_faster_than_it_is_answered(shop: Any) -> None:
    live, web = shop
    go_on = asyncio.Event()

    async def answer(*_: Any) -> bytes:
        await go_on.wait()
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    web.answer = answer
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
    go_on.set()
    writer.transport.abort()
