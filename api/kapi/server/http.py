"""The server over HTTP: a thin front on aiohttp that turns bytes into requests and answers into bytes."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from aiohttp import web
from multidict import CIMultiDict

from kapi.errors import StatusError
from kapi.server import statuses
from kapi.server.answers import Answer, Following, Plain, Streamed
from kapi.server.dispatch import Dispatcher, Reply
from kapi.server.identity import ANONYMOUS, Authenticator, Identity
from kapi.server.streaming.front import StreamingFront
from kapi.transport import JSON, Request

Guard = Callable[[tuple[str, int], tuple[str, int]], str]
"""Asked with the addresses of client and server, says why the client is not served, or ""."""

log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds that requests without a client may take until the server is closed all the same
_OPEN = ("/healthz", "/livez", "/readyz", "/version")
_LARGEST = 3 * 1024 * 1024  # bytes of a body, as many as a Kubernetes API server takes


class HttpFront:
    """Serves a dispatcher on listening sockets."""

    def __init__(self, dispatcher: Dispatcher, authenticator: Authenticator, streaming: StreamingFront) -> None:
        self._dispatcher = dispatcher
        self._streaming = streaming
        self._authenticator = authenticator
        self._runner: web.ServerRunner | None = None
        self._answering: set[asyncio.Future[Reply]] = set()
        self._guards: dict[Any, Guard] = {}  # by the address that is guarded
        self._admitted: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None, guard: Guard | None = None) -> None:
        """Serve on one more socket, which is bound and listening and from here on ours."""
        if guard is not None:
            self._guards[sock.getsockname()] = guard
        if self._runner is None:
            server = web.Server(self._handle, handler_cancellation=True, access_log=None)
            self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
            await self._runner.setup()
        sock.setblocking(False)
        await web.SockSite(self._runner, sock, ssl_context=tls).start()

    async def close(self) -> None:
        """Close sockets and connections, and finish what was begun for clients that have gone."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._answering:
            await asyncio.wait(self._answering, timeout=_PATIENCE)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            caller = self._admit(http)
            if self._streaming.wants(http):
                return await self._streaming.answer(http)
            answer = await self._answer(await _request(http, caller))
        except StatusError as error:
            answer = _refusal(error)
        except Exception:  # the outermost edge of a request: a fault in the server is a 500 and never a cut connection
            log.exception("%s %s failed", http.method, http.path_qs)
            answer = _refusal(statuses.internal("the server has a fault; its log says more"))
        if isinstance(answer, Following):
            return await _follow(http, answer)
        if isinstance(answer, Streamed):
            return await _stream(http, answer)
        headers = _headers(answer.media_type, answer.warnings)
        return web.Response(status=answer.code, body=answer.body.encoded(), headers=headers)

    def _admit(self, http: web.BaseRequest) -> Identity:
        """Refuse (401) callers over HTTPS who are not known; how the server is may be asked by anyone.

        Refuse (403) whom the guard of the socket refuses; it is asked once for a connection.
        """
        if self._guards and http.transport is not None and http.transport not in self._admitted:
            server = http.transport.get_extra_info("sockname")
            guard = self._guards.get(server)
            why = guard(http.transport.get_extra_info("peername"), server) if guard is not None else ""
            if why:
                raise statuses.refuse(403, "Forbidden", why)
            self._admitted.add(http.transport)
        connection = http.transport.get_extra_info("ssl_object") if http.transport is not None else None
        if connection is None or http.path.startswith(_OPEN):
            return ANONYMOUS
        return self._authenticator.identify(connection.getpeercert(), http.headers.get("Authorization", ""))

    async def _answer(self, request: Request) -> Reply:
        """Answer a request to its end, whatever becomes of the client: half a write helps nobody."""
        task = asyncio.ensure_future(self._dispatcher.answer(request))
        self._answering.add(task)  # the event loop itself holds tasks only weakly
        task.add_done_callback(self._answering.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_abandon)
            raise


def _abandon(task: asyncio.Future[Reply]) -> None:
    """Close the watch that was opened for a client that has gone."""
    if not task.cancelled() and task.exception() is None:
        answer = task.result()
        if isinstance(answer, Following):
            answer.watch.close()


async def _request(http: web.BaseRequest, caller: Identity) -> Request:
    if (http.content_length or 0) > _LARGEST:
        raise statuses.too_large(f"limit is {_LARGEST}")
    body: Any = None
    if http.can_read_body:
        body = await _body(http)
    return Request(
        method=http.method,
        path=http.path,
        query=dict(http.query),
        body=body,
        content_type=http.headers.get("Content-Type", JSON),
        accept=http.headers.get("Accept", JSON),
        user=caller.user,
        groups=caller.groups,
        agent=http.headers.get("User-Agent", ""),
    )


async def _body(http: web.BaseRequest) -> bytes:
    body = bytearray()
    async for chunk in http.content.iter_any():
        body += chunk
        if len(body) > _LARGEST:
            raise statuses.too_large(f"limit is {_LARGEST}")
    return bytes(body)


async def _follow(http: web.BaseRequest, following: Following) -> web.StreamResponse:
    try:
        response = web.StreamResponse(headers=_headers(JSON, following.warnings))
        response.enable_chunked_encoding()
        await response.prepare(http)
        async for batch in following.watch.events():
            await response.write(following.encoded(batch))
        await response.write_eof()
    except ConnectionResetError:
        log.debug("the client of a watch of %s has gone", http.path)
    finally:
        following.watch.close()
    return response


async def _stream(http: web.BaseRequest, answer: Streamed) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers("text/plain", answer.warnings))
    response.enable_chunked_encoding()
    await response.prepare(http)
    with suppress(ConnectionError):  # the client has read enough
        async for piece in answer.pieces:
            await response.write(piece)
        await response.write_eof()
    return response


def _refusal(error: StatusError) -> Answer:
    status = error.status
    return Answer(Plain(status), int(status.get("code") or error.code))


def _headers(media_type: str, warnings: tuple[str, ...]) -> CIMultiDict[str]:
    headers = CIMultiDict({"Content-Type": media_type, "Cache-Control": "no-cache, private"})
    for warning in warnings:
        headers.add("Warning", f'299 - "{_quoted(warning)}"')
    return headers


def _quoted(text: str) -> str:
    """Give a text as a header may carry it: clients choose the names that warnings tell."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace").decode()
