"""Nothing ambiguous is ever forwarded: raw bytes through the ingress, and what the upstream saw of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.malformed import BAD_BODIES, CHUNKED, GET, POST, REFUSED, SMUGGLED


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_with_its_connection_and_the_upstream_sees_nothing(shop: Any, name: str) -> None:
    live, web = shop
    raw, status = REFUSED[name]
    told = await live.talk(raw + (SMUGGLED if b"\n\r\n" in raw else b""), end=True)
    assert told.startswith(b"HTTP/1.1 %d " % status), told
    assert told.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in told
    assert web.requests == []
    assert not web.raw


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "after its head"])
async def test_a_bad_body_is_never_completed_towards_the_upstream(shop: Any, name: str, *, apart: bool) -> None:
    live, web = shop
    reader, writer = await live.connect()
    if apart:
        writer.write(CHUNKED)
        await live.until(lambda: live.gateway.upstreams.connections)
    writer.write((b"" if apart else CHUNKED) + BAD_BODIES[name] + SMUGGLED)
    writer.write_eof()
    told = await asyncio.wait_for(reader.read(), 5)
    assert told.startswith(b"HTTP/1.1 400 ")
    assert told.count(b"HTTP/1.1 ") == 1
    writer.close()
    assert web.requests == []
    assert b"\r\n0\r\n\r\n" not in web.raw
    assert b"smuggled" not in web.raw
    assert (await live.get("/next"))[0] == 200, "the next request has a connection of its own"


async def test_a_path_is_forwarded_as_it_was_routed(shop: Any, upstream: Any) -> None:
    live, web = shop
    admin = await upstream(b"admin")
    live.service("admin", admin)
    live.ingress("admin", [("shop.example", "Prefix", "/admin", "admin")])
    for path in ("/admin/x", "/x/../admin/x", "/%61dmin/x", "/x/%2e%2e/admin/x", "/./admin/x"):
        assert await live.get(path) == (200, b"admin"), path
    assert {seen.line for seen in admin.requests} == {"GET /admin/x HTTP/1.1"}
    for path in ("/admin%2Fx", "//admin/x", "/ADMIN/x"):
        assert await live.get(path) == (200, b"ok"), path
    assert [seen.line.split()[1] for seen in web.requests] == ["/admin%2Fx", "//admin/x", "/ADMIN/x"]


async def test_what_a_client_says_of_itself_never_reaches_the_upstream(shop: Any) -> None:
    live, web = shop
    lies = "X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4"
    await live.get("/", "shop.example", *lies, "X_Forwarded_For: 1.2.3.4", "Proxy: evil", "TE: trailers")
    assert b"1.2.3.4" not in web.raw
    assert web.requests[0].headers["x-forwarded-proto"] == "http"


async def test_connection_may_not_name_headers_that_others_rely_on(shop: Any) -> None:
    live, web = shop
    named = b"Connection: close, X-Forwarded-For, Authorization, Cookie, Host, X-Secret\r\n"
    await live.talk(GET + named + b"Authorization: a\r\nCookie: c\r\nX-Secret: s\r\n\r\n")
    headers = web.requests[0].headers
    assert (headers["authorization"], headers["cookie"], headers["x-forwarded-for"]) == ("a", "c", "127.0.0.1")
    assert "x-secret" not in headers
    assert "connection" not in headers


async def test_an_offer_of_h2c_is_not_forwarded(shop: Any) -> None:
    live, web = shop
    offer = b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n"
    assert b" 200 " in await live.talk(GET + offer)
    assert {"upgrade", "connection", "http2-settings"}.isdisjoint(web.requests[0].headers)


BAD_RESPONSES: dict[str, bytes] = {
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"220 smtp.example ready\r\n",
    "two at once": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "a protocol nobody asked for": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
async def test_an_ambiguous_response_is_a_bad_gateway(shop: Any, name: str) -> None:
    live, web = shop

    async def answer(*_: Any) -> bytes:
        return BAD_RESPONSES[name]

    web.answer = answer
    told = await live.talk(POST + b"Connection: close\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 502 ")
    assert b"evil" not in told
    web.answer = None
    assert await live.get() == (200, b"ok")


async def test_bytes_that_come_late_on_an_idle_connection_are_for_nobody(shop: Any) -> None:
    live, web = shop

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    web.answer = answer
    assert await live.get() == (200, b"ok")
    await asyncio.sleep(0.1)
    web.answer = None
    assert await live.get() == (200, b"ok")
    assert web.connections == 2
