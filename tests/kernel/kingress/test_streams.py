"""Bodies in both directions: whole, as they come, and never faster than the slower side."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n"
MIB = 1 << 20
BLOCK = bytes(range(256)) * 256  # 64 KiB


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunks", "until the end"])
async def test_a_large_response_arrives_whole(shop: Any, framing: str) -> None:
    live, web = shop
    blocks = 320  # 20 MiB

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        if framing == "length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (blocks * len(BLOCK)))
        elif framing == "chunks":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(blocks):
            writer.write(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if framing == "chunks" else BLOCK)
            await writer.drain()
        if framing == "chunks":
            writer.write(b"0\r\n\r\n")
        if framing == "until the end":
            writer.close()

    web.answer = answer
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-sS",
        "-m20",
        "-H",
        "Host: shop.example",
        f"http://127.0.0.1:{live.port}/",
        stdout=asyncio.subprocess.PIPE,
    )
    body, _ = await process.communicate()
    assert digest(body) == digest(BLOCK * blocks)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_request_arrives_whole(shop: Any, *, chunked: bool) -> None:
    live, web = shop
    blocks = 160  # 10 MiB
    reader, writer = await live.connect()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (blocks * len(BLOCK))
    writer.write(POST + framing + b"\r\n\r\n")
    for _ in range(blocks):
        writer.write(b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if chunked else BLOCK)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    assert (await reader.read()).endswith(b"ok")
    assert digest(web.requests[0].body) == digest(BLOCK * blocks)
    writer.close()


async def test_each_piece_of_a_response_is_passed_on_when_it_comes(shop: Any) -> None:
    live, web = shop
    go_on = asyncio.Event()

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (b"data: 1\n\n", b"data: 2\n\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await go_on.wait()
            go_on.clear()
        writer.write(b"0\r\n\r\n")

    web.answer = answer
    reader, writer = await live.connect()
    writer.write(GET)
    await asyncio.wait_for(reader.readuntil(b"data: 1\n\n\r\n"), 2)
    go_on.set()
    await asyncio.wait_for(reader.readuntil(b"data: 2\n\n\r\n"), 2)
    go_on.set()
    assert await asyncio.wait_for(reader.read(), 2) == b"0\r\n\r\n"
    writer.close()


async def test_each_piece_of_a_request_is_passed_on_when_it_comes(shop: Any, upstream: Any) -> None:
    live, _ = shop
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(2):
            await got.put(await reader.readexactly(5))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    live.service("web", server.sockets[0].getsockname()[1])
    reader, writer = await live.connect()
    writer.write(POST + b"Content-Length: 10\r\n\r\nfirst")
    assert await asyncio.wait_for(got.get(), 2) == b"first"
    writer.write(b"other")
    assert await asyncio.wait_for(got.get(), 2) == b"other"
    assert b" 200 " in await reader.read()
    writer.close()
    server.close()


async def test_an_upstream_is_held_back_while_the_client_does_not_read(shop: Any) -> None:
    live, web = shop
    written = 0

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        while written < 256 * MIB:
            writer.write(BLOCK)
            await writer.drain()
            written += len(BLOCK)

    web.answer = answer
    reader, writer = await live.connect()  # the reader stops the kernel when its 64 KiB are full
    writer.write(GET)
    before = -1
    while before != written or not written:
        before = written
        await asyncio.sleep(0.2)
    assert written < 32 * MIB, "what is on the way is in the kernel's buffers, and little in ours"
    assert not reader.at_eof()
    writer.transport.abort()


async def test_a_client_is_held_back_while_the_upstream_does_not_read(shop: Any) -> None:
    live, _ = shop
    connected = asyncio.Event()
    stop = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await stop.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    live.service("web", server.sockets[0].getsockname()[1])
    _, writer = await live.connect()
    writer.write(POST + b"Content-Length: %d\r\n\r\n" % (256 * MIB))
    await connected.wait()
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            writer.write(BLOCK)
            await writer.drain()
            sent += len(BLOCK)

    sending = asyncio.create_task(send())
    before = -1
    while before != sent or not sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 32 * MIB
    sending.cancel()
    stop.set()
    writer.transport.abort()
    server.close()


async def test_a_response_that_breaks_off_is_cut_short_visibly(shop: Any) -> None:
    live, web = shop

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await writer.drain()
        writer.close()

    web.answer = answer
    reader, writer = await live.connect()
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(10)
    writer.close()


async def test_an_answer_before_the_end_of_the_request_reaches_the_client(shop: Any) -> None:
    live, _ = shop

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    live.service("web", server.sockets[0].getsockname()[1])
    reader, writer = await live.connect()
    writer.write(POST + b"Content-Length: 100000000\r\n\r\n" + BLOCK)
    told = await asyncio.wait_for(reader.read(), 3)
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(b"big")
    assert b"Connection: close" in told
    assert not [peer.idle for peer in live.gateway.upstreams.backend(next(iter(targets(live)))).peers if peer.idle]
    writer.close()
    server.close()


def targets(live: Any) -> Any:
    return [route.target for routes in live.gateway.table.hosts.values() for route in routes.prefixes.values()]


async def test_a_client_that_goes_away_ends_what_was_done_for_it(shop: Any) -> None:
    live, web = shop

    async def answer(*_: Any) -> None:
        await asyncio.Event().wait()

    web.answer = answer
    _, writer = await live.connect()
    writer.write(GET)
    await live.until(lambda: web.requests)
    assert len(live.gateway.upstreams.connections) == 1
    writer.transport.abort()
    await live.until(lambda: not live.gateway.upstreams.connections)
