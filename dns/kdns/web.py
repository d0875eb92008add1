"""What is told over HTTP: /health, /ready, /metrics; and DNS itself, /dns-query (RFC 8484)."""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from kdns.server import Server

_MESSAGE = "application/dns-message"
_MOST_OCTETS = 4096  # of a query


async def _started(app: web.Application, sites: Sequence[tuple[str, int]]) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    for address, port in sites:
        await web.TCPSite(runner, address, port).start()
    return runner


@asynccontextmanager
async def telling(
    waiting: Callable[[], Sequence[str]],
    numbers: Callable[[], str],
    ending: Callable[[], bool],
    sites: Sequence[tuple[str, int]],
) -> AsyncIterator[None]:
    """Tell of health, what is waited for, and numbers, as long as the context lasts. Once `ending`, nothing is well."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=503, text="stopping\n") if ending() else web.Response(text="OK\n")

    async def ready(_: web.Request) -> web.Response:
        missing = ("stopping",) if ending() else waiting()
        return web.Response(status=503, text=",".join(missing) + "\n") if missing else web.Response(text="OK\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=numbers(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/ready", ready), web.get("/metrics", metrics)])
    runner = await _started(app, sites)
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def over_https(
    server: Server, sock: socket.socket, tls: ssl.SSLContext, answered: Callable[[int], None]
) -> AsyncIterator[None]:
    """Answer queries over HTTPS as long as the context lasts; `answered` is told the status of each."""

    async def answer(request: web.Request) -> web.Response:
        data = await _query(request)
        peer = (request.transport.get_extra_info("peername") if request.transport else None) or ("", 0)
        reply = await server.answer(data, tuple(peer)[:2], "https") if data else None
        answered(400 if reply is None else 200)
        if reply is None:
            return web.Response(status=400, text="this is no DNS query\n")
        return web.Response(body=reply, content_type=_MESSAGE, headers={"Cache-Control": "max-age=0"})

    app = web.Application(client_max_size=_MOST_OCTETS)
    app.add_routes([web.get("/dns-query", answer), web.post("/dns-query", answer)])
    runner = await _started(app, ())
    try:
        await web.SockSite(runner, sock, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()


async def _query(request: web.Request) -> bytes:
    """Read the query of a GET (base64url without padding) or a POST; empty where there is none."""
    if request.method == "POST":
        return await request.read() if request.content_type == _MESSAGE else b""
    text = request.query.get("dns", "")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:_MOST_OCTETS]
    except (binascii.Error, ValueError):
        return b""
