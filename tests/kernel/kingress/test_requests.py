"""What clients send and upstreams get, byte by byte."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kapi.resources import INGRESSES

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: shop.example\r\n"
CLOSE = b"Connection: close\r\n\r\n"


async def test_a_request_reaches_the_service_of_its_host_and_path(shop: Any) -> None:
    live, web = shop
    status, body = await live.get("/cart?x=1")
    assert (status, body) == (200, b"ok")
    (seen,) = web.requests
    assert seen.line == "GET /cart?x=1 HTTP/1.1"
    identity = seen.headers.pop("x-request-id")
    assert len(identity) == 32
    assert {name: value for name, value in seen.headers.items() if name != "x-request-id"} == {
        "host": "shop.example",
        "x-forwarded-for": "127.0.0.1",
        "x-real-ip": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-port": "80",
        "x-forwarded-host": "shop.example",
    }


async def test_a_host_or_path_that_no_rule_names_is_not_found(shop: Any) -> None:
    live, web = shop
    assert (await live.get("/", "other.example"))[0] == 404
    assert web.requests == []


async def test_what_the_service_lacks_is_said(shop: Any, upstream: Any) -> None:
    live, _ = shop
    live.ingress("more", [("shop.example", "Prefix", "/none", "none"), ("shop.example", "Prefix", "/empty", "empty")])
    live.service("empty")
    status, body = await live.get("/none")
    assert status == 503
    assert b"Service shop/none does not exist." in body
    assert b"Ingress shop/more spec.rules[0].http.paths[0]" in body
    status, body = await live.get("/empty")
    assert status == 503
    assert b"Service shop/empty port 80 has no ready endpoints" in body
    live.service("none", await upstream(b"now"))
    assert await live.get("/none") == (200, b"now")


async def test_a_path_with_a_backend_that_cannot_be_read_is_not_served_by_a_wider_rule(shop: Any) -> None:
    live, web = shop
    bucket = {"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "static"}}
    rule = {"host": "shop.example", "http": {"paths": [{"path": "/static", "pathType": "Prefix", "backend": bucket}]}}
    meta = {"namespace": "shop", "name": "static"}
    live.put(INGRESSES, {"metadata": meta, "spec": {"ingressClassName": "kproxy", "rules": [rule]}})
    status, page = await live.get("/static/logo.png")
    assert status == 503
    assert b"spec.rules[0].http.paths[0].backend.resource: only Services can be backends here" in page
    assert not web.requests
    assert await live.get("/other") == (200, b"ok")


async def test_connections_to_upstreams_are_kept_and_shared(shop: Any) -> None:
    live, web = shop
    for _ in range(5):
        assert (await live.get())[0] == 200
    assert (len(web.requests), web.connections) == (5, 1)


async def test_a_connection_serves_many_requests_and_pipelined_ones_in_order(shop: Any) -> None:
    live, web = shop

    async def answer(seen: Any, _: Any) -> bytes:
        path: bytes = seen.line.split()[1].encode()
        await asyncio.sleep(0.05 if path == b"/1" else 0)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + path

    web.answer = answer
    raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: shop.example\r\n\r\n" % i for i in range(1, 5))
    told = await live.talk(raw + POST.replace(b"/x", b"/5") + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    assert [part[-2:] for part in told.split(b"HTTP/1.1 200 OK")[1:]] == [b"/1", b"/2", b"/3", b"/4", b"/5"]
    assert told.count(b"Connection: close") == 1


@pytest.mark.parametrize("end", [b"Connection: keep-alive\r\n\r\n", b"\r\n"])
async def test_http_1_0_is_answered_in_its_way(shop: Any, end: bytes) -> None:
    live, web = shop
    reader, writer = await live.connect()
    writer.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n" + end)
    head = await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(2) == b"ok"
    kept = b"keep-alive" in end
    assert (b"Connection: keep-alive" in head) is kept
    if kept:
        writer.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        assert (await reader.read()).endswith(b"ok")
    assert await reader.read() == b""
    assert {seen.line for seen in web.requests} == {"GET / HTTP/1.1"}
    writer.close()


async def test_a_chunked_response_is_chunked_for_1_1_and_ends_the_connection_for_1_0(shop: Any) -> None:
    live, web = shop

    async def answer(*_: Any) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

    web.answer = answer
    assert (await live.talk(GET + CLOSE)).endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    old = await live.talk(b"GET / HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n")
    assert old.endswith(b"\r\n\r\nabcde")
    assert b"chunked" not in old
    assert b"Connection: close" in old


@pytest.mark.parametrize(
    ("asked", "end"), [(b"TE: trailers\r\nConnection: TE\r\n", b"0\r\nGrpc-Status: 0\r\n\r\n"), (b"", b"0\r\n\r\n")]
)
async def test_trailers_are_passed_on_to_who_takes_them(shop: Any, asked: bytes, end: bytes) -> None:
    live, web = shop

    async def answer(*_: Any) -> bytes:
        return (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nGrpc-Status: 0\r\nSet-Cookie: a=b\r\n\r\n"
        )

    web.answer = answer
    told = await live.talk(GET + asked + CLOSE)
    assert told.endswith(b"3\r\nabc\r\n" + end)
    assert web.requests[0].headers.get("te") == ("trailers" if asked else None)


async def test_a_response_that_ends_with_the_connection_is_chunked_on(shop: Any) -> None:
    live, web = shop

    async def answer(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        writer.close()

    web.answer = answer
    assert (await live.talk(GET + CLOSE)).endswith(b"5\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "answered", "expected"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"Content-Length: 5"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", b"ETag: x"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_responses_without_a_body_keep_the_connections(
    shop: Any, method: bytes, answered: bytes, expected: bytes
) -> None:
    live, web = shop

    async def answer(*_: Any) -> bytes:
        return answered

    web.answer = answer
    reader, writer = await live.connect()
    for _ in range(2):
        writer.write(method + b" / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert expected in head
        assert b"chunked" not in head
    assert web.connections == 1
    writer.close()


async def test_a_client_that_waits_for_100_is_told_to_go_on(shop: Any) -> None:
    live, web = shop
    reader, writer = await live.connect()
    writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hello")
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    assert web.requests[0].body == b"hello"
    assert "expect" not in web.requests[0].headers
    writer.close()


async def test_it_is_not_told_to_go_on_where_nobody_would_listen(shop: Any) -> None:
    live, _ = shop
    told = await live.talk(POST.replace(b"shop", b"other") + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 404 ")
    assert b"Connection: close" in told


async def test_early_hints_are_passed_on(shop: Any) -> None:
    live, web = shop

    async def answer(*_: Any) -> bytes:
        return b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    web.answer = answer
    told = await live.talk(GET + CLOSE)
    assert told.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_posted_body_is_passed_on_in_the_framing_it_came_in(shop: Any) -> None:
    live, web = shop
    await live.talk(POST + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello")
    await live.talk(
        POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    await live.talk(POST + CLOSE)
    assert [seen.body for seen in web.requests] == [b"hello", b"hello", b""]
    assert web.requests[1].headers["transfer-encoding"] == "chunked"
    assert web.requests[2].headers["content-length"] == "0"
    assert b";x=y" not in web.raw


async def test_a_client_that_has_closed_its_side_still_gets_its_answer(shop: Any) -> None:
    live, web = shop

    async def answer(*_: Any) -> bytes:
        await asyncio.sleep(0.05)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    web.answer = answer
    reader, writer = await live.connect()
    writer.write(GET + b"\r\n")
    writer.write_eof()
    assert (await asyncio.wait_for(reader.read(), 2)).endswith(b"ok")
    writer.close()


async def test_curl_is_served(shop: Any) -> None:
    live, _ = shop
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-sS",
        "-m5",
        "--resolve",
        f"shop.example:{live.port}:127.0.0.1",
        "-d",
        "hello",
        f"http://shop.example:{live.port}/x",
        "-o",
        "-",
        "-w",
        " %{http_code}",
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert told == b"ok 200"


async def test_a_client_is_told_to_go_on_only_after_the_response_before(shop: Any) -> None:
    live, web = shop
    body = b"x" * 3_000_000

    async def answer(seen: Any, _: Any) -> bytes:
        shown = body if b" /big " in seen.head else b"ok"
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(shown) + shown

    web.answer = answer
    raw = b"GET /big HTTP/1.1\r\nHost: shop.example\r\n\r\n"
    raw += b"PUT /last HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    reader, writer = await live.connect()
    writer.write(raw)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(len(body)) == body
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ab")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(2) == b"ok"
    writer.close()
