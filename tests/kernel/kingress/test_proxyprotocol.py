"""Connections that a load balancer passes on, with the PROXY protocol before TLS or HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from ipaddress import ip_network
from typing import Any

import pytest

PROXY = b"PROXY TCP4 192.0.2.1 10.0.0.1 4096 80\r\n"
GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
async def behind(start: Any, upstream: Any) -> Any:
    """An ingress behind a load balancer on this machine."""
    live, web = await start(proxy_protocol=True, trusted=LOOPBACK, head_timeout=0.5), await upstream()
    live.service("web", web)
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], {"allow": "192.0.2.0/24"})
    return live, web


async def test_the_client_is_who_the_load_balancer_says_it_is(behind: Any) -> None:
    live, web = behind
    assert b" 200 " in await live.talk(PROXY + GET)
    assert web.requests[-1].headers["x-real-ip"] == "192.0.2.1"
    assert b" 403 " in await live.talk(b"PROXY UNKNOWN\r\n" + GET)


async def test_a_header_may_come_in_pieces(behind: Any) -> None:
    live, _ = behind
    reader, writer = await live.connect()
    for piece in (PROXY[:3], PROXY[3:20], PROXY[20:] + GET[:5], GET[5:]):
        writer.write(piece)
        await asyncio.sleep(0.02)
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 3)
    writer.close()


@pytest.mark.parametrize("raw", [GET, b"", b"PROXY TCP4 "])
async def test_who_does_not_begin_with_a_header_gets_no_answer(behind: Any, raw: bytes) -> None:
    live, web = behind
    with contextlib.suppress(ConnectionError):
        assert await live.talk(raw) == b""
    assert not web.requests


async def test_who_is_not_trusted_gets_no_answer(start: Any) -> None:
    live = await start(proxy_protocol=True)
    with contextlib.suppress(ConnectionError):
        assert await live.talk(PROXY + GET) == b""


async def test_it_stands_before_tls(behind: Any, signed: Any) -> None:
    live, web = behind
    certificate = signed("shop.example")
    live.ingress("web", [("shop.example", "Prefix", "/", "web")], tls=[{"secretName": "c", "hosts": ["shop.example"]}])
    live.secret("c", tls_crt=certificate[0], tls_key=certificate[1])
    context = ssl.create_default_context(cadata=certificate[0].decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", live.tls_port)
    writer.write(PROXY)
    await writer.start_tls(context, server_hostname="shop.example")
    writer.write(GET)
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 3)
    assert web.requests[-1].headers["x-forwarded-for"] == "192.0.2.1"
    writer.close()


async def test_connections_are_accepted_again_when_there_are_descriptors_again(
    behind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, _ = behind
    loop, failed = asyncio.get_running_loop(), asyncio.Event()
    accept = loop.sock_accept

    async def short(sock: socket.socket) -> Any:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(sock)

    monkeypatch.setattr("kingress.accept._PAUSE", 0.02)
    assert b" 200 " in await live.talk(PROXY + GET)
    monkeypatch.setattr(loop, "sock_accept", short)
    assert b" 200 " in await live.talk(PROXY + GET), "the accept that was waiting"
    await asyncio.wait_for(failed.wait(), 2)
    assert b" 200 " in await live.talk(PROXY + GET)
