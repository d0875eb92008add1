"""WebSockets and their kind: bytes are relayed as they are once the upstream has agreed."""

from __future__ import annotations

import asyncio
from typing import Any

from kapi.resources import INGRESSES

ASK = (
    b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
AGREE = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


async def echoing() -> asyncio.Server:
    """An upstream that agrees and then sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Upgrade: websocket" in head
        assert b"Connection: Upgrade" in head
        writer.write(AGREE + b"hello")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def opened(live: Any, extra: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await live.connect()
    writer.write(ASK + extra)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Upgrade: websocket" in head
    assert b"Sec-WebSocket-Accept: x" in head
    assert await reader.readexactly(5) == b"hello"
    return reader, writer


async def test_bytes_are_relayed_both_ways_after_the_upstream_agreed(shop: Any) -> None:
    live, _ = shop
    server = await echoing()
    live.service("web", server.sockets[0].getsockname()[1])
    reader, writer = await opened(live, b"early")
    assert await reader.readexactly(5) == b"early"
    block = bytes(range(256)) * 4096
    writer.write(block)
    assert await reader.readexactly(len(block)) == block
    assert live.gateway.metrics.upgraded == 1
    writer.close()
    await live.until(lambda: not (live.gateway.upstreams.connections or live.gateway.metrics.upgraded))
    server.close()


async def test_a_tunnel_survives_changes_of_routes_and_endpoints(shop: Any, upstream: Any) -> None:
    live, _ = shop
    server = await echoing()
    live.service("web", server.sockets[0].getsockname()[1])
    reader, writer = await opened(live)
    live.service("web", await upstream(b"new"))
    live.remove(INGRESSES, "web")
    await asyncio.sleep(0.2)
    writer.write(b"still")
    assert await reader.readexactly(5) == b"still"
    writer.close()
    server.close()


async def test_a_tunnel_ends_when_the_upstream_ends_it(shop: Any) -> None:
    live, _ = shop

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(AGREE + b"hello" + b"bye")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    live.service("web", server.sockets[0].getsockname()[1])
    reader, writer = await opened(live)
    assert await asyncio.wait_for(reader.read(), 2) == b"bye"
    writer.close()
    server.close()


async def test_where_the_upstream_does_not_agree_the_connection_goes_on_with_http(shop: Any) -> None:
    live, web = shop
    reader, writer = await live.connect()
    writer.write(ASK + b"GET /2 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
    told = await asyncio.wait_for(reader.read(), 2)
    assert told.count(b"HTTP/1.1 200 OK") == 2
    assert [seen.line.split()[1] for seen in web.requests] == ["/ws", "/2"]
    writer.close()


async def test_before_the_upstream_agrees_no_more_is_read_than_can_be_kept(shop: Any) -> None:
    live, _ = shop
    agreed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await agreed.wait()
        writer.write(AGREE)
        writer.write(str(len(await reader.readexactly(size))).encode())
        writer.close()

    size = 16 << 20
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    live.service("web", server.sockets[0].getsockname()[1])
    reader, writer = await live.connect()
    writer.write(ASK + bytes(size))
    await asyncio.sleep(0.5)
    (client,) = live.gateway.clients
    assert 0 < len(client._reader.held()) < 1 << 20
    agreed.set()
    told = await asyncio.wait_for(reader.read(), 10)
    assert told.endswith(b"\r\n\r\n" + str(size).encode())
    writer.close()
    server.close()
