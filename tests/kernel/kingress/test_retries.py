"""Another endpoint is tried where that is safe, and only there."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from typing import Any

import pytest
from tests.ports import unused_port


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_cannot_be_made_is_tried_elsewhere_whatever_the_method(shop: Any, method: str) -> None:
    live, web = shop
    live.service("web", unused_port(), web, unused_port())
    for _ in range(6):
        status, body = await live.get("/", "shop.example", "Content-Length: 0", method=method)
        assert (status, body) == (200, b"ok")


async def test_where_no_endpoint_can_be_reached_it_is_a_bad_gateway_that_says_so(shop: Any) -> None:
    live, _ = shop
    live.service("web", unused_port())
    status, body = await live.get()
    assert status == 502
    assert b"127.0.0.1:" in body
    assert b"refused" in body


async def test_an_endpoint_that_does_not_answer_the_handshake_is_given_up_in_time(start: Any) -> None:
    live = await start(connect_timeout=0.2)
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
        each.setblocking(False)
        each.connect_ex(full.getsockname())
    live.service("web", full.getsockname()[1])
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    started = asyncio.get_running_loop().time()
    assert (await live.get())[0] == 504
    assert asyncio.get_running_loop().time() - started < 2
    for each in (*waiting, full):
        each.close()


async def hang_up(_: Any, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_a_request_that_may_be_repeated_is_sent_elsewhere_when_an_upstream_hangs_up(
    shop: Any, upstream: Any
) -> None:
    live, web = shop
    broken = await upstream(answer=hang_up)
    live.service("web", broken, web)
    for _ in range(4):
        assert await live.get() == (200, b"ok")
    assert broken.requests


async def test_a_request_that_may_not_be_repeated_is_not(shop: Any, upstream: Any) -> None:
    live, web = shop
    broken = await upstream(answer=hang_up)
    live.service("web", broken)
    status, body = await live.get("/", "shop.example", "Content-Length: 0", method="POST")
    assert status == 502
    assert b"gave no response" in body
    assert (len(broken.requests), len(web.requests)) == (1, 0)


async def test_a_body_is_sent_again_with_the_request(shop: Any, upstream: Any) -> None:
    live, web = shop
    live.service("web", await upstream(answer=hang_up), web)
    for _ in range(2):
        told = await live.talk(
            b"PUT / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        )
        assert b" 200 " in told
    assert {seen.body for seen in web.requests} == {b"hello"}


async def test_a_kept_connection_that_has_gone_stale_is_never_a_bad_gateway(shop: Any) -> None:
    live, web = shop
    stale = False

    async def answer(_: Any, writer: asyncio.StreamWriter) -> bytes | None:
        nonlocal stale
        if stale:
            stale = False
            writer.transport.abort()
            return None
        stale = True  # the next request on this connection finds it closing
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    web.answer = answer
    for _ in range(6):
        assert await live.get() == (200, b"ok")


NO_FIN = (  # a filter of packets, in the BPF of sockets: of a TCP header, those with the flag FIN are dropped
    (0x30, 0, 0, 13),  # ldb [13]
    (0x45, 0, 1, 1),  # jset #FIN
    (0x06, 0, 0, 0),  # ret #0
    (0x06, 0, 0, 0xFFFFFFFF),  # ret #-1
)


def deaf_to_the_end(sock: socket.socket) -> None:
    """Let a socket not hear that its peer hangs up, as if the packet that says so were still on its way."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in NO_FIN))
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", len(NO_FIN), ctypes.addressof(program)))


async def test_a_post_that_crosses_with_the_end_of_a_kept_connection_is_sent_again(shop: Any) -> None:
    live, web = shop
    assert await live.get() == (200, b"ok")
    (kept,) = live.gateway.upstreams.connections
    deaf_to_the_end(kept._transport.get_extra_info("socket"))
    for writer in list(web.writers):
        writer.close()
    await live.until(lambda: not web.open)
    told = await live.talk(
        b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    )
    assert b" 200 " in told
    assert [seen.body for seen in web.requests] == [b"", b"hello"]
    assert live.gateway.metrics.failures, "the first attempt failed: what it met was not a closed connection"


async def test_many_stale_connections_cost_one_attempt(shop: Any, patient: asyncio.Event) -> None:
    live, web = shop
    asking = [asyncio.create_task(live.get()) for _ in range(8)]
    await live.until(lambda: len(web.requests) == 8)
    patient.set()
    await asyncio.gather(*asking)
    for kept in live.gateway.upstreams.connections:
        deaf_to_the_end(kept._transport.get_extra_info("socket"))
    for writer in list(web.writers):
        writer.close()
    await live.until(lambda: not web.open)
    assert await live.get() == (200, b"ok")
    assert sum(live.gateway.metrics.failures.values()) == 1


async def test_a_response_that_has_begun_is_never_begun_again(shop: Any, upstream: Any) -> None:
    live, web = shop

    async def break_off(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await writer.drain()
        writer.transport.abort()

    live.service("web", await upstream(answer=break_off))
    told = await live.talk(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert told.endswith(b"Content-Length: 10\r\n\r\nhello"), "too short, as the client can see"
    assert web.requests == []


async def test_an_upstream_that_says_nothing_is_a_gateway_timeout(start: Any, upstream: Any) -> None:
    async def silent(*_: Any) -> None:
        await asyncio.Event().wait()

    live = await start(response_timeout=0.2)
    web = await upstream(answer=silent)
    live.service("web", web)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")])
    assert (await live.get())[0] == 504
    assert len(web.requests) == 1
