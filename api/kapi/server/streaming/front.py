"""Takes requests that ask for another protocol, and carries them out over it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from kapi.resources import PODS
from kapi.server import statuses
from kapi.server.kinds import KINDS
from kapi.server.kubelets import Kubelets, Streams
from kapi.server.routes import Routes
from kapi.server.state import State
from kapi.server.streaming import forwarding, remote
from kapi.server.streaming.remote import Wanted
from kapi.server.streaming.session import Session
from kapi.server.streaming.spdy import ProtocolError

SUBRESOURCES = ("attach", "exec", "portforward")
log = logging.getLogger(__name__)

_HEADER = "X-Stream-Protocol-Version"
_HEARTBEAT = 30.0  # seconds between signs of life on a WebSocket

Serve = Callable[[Session], Awaitable[None]]


class StreamingFront:
    """Answers what `wants` says is its own."""

    def __init__(self, state: State, kubelets: Kubelets | None) -> None:
        self._routes = Routes(KINDS)
        self._state = state
        self._kubelets = kubelets

    @staticmethod
    def wants(http: web.BaseRequest) -> bool:
        """Whether a request asks for another protocol, on a path that has one."""
        return "Upgrade" in http.headers and http.path.rpartition("/")[2] in SUBRESOURCES

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer such a request, to its very end. Raises StatusError for one that is refused."""
        _check_origin(http)
        route = self._routes.find(http.path)
        if route.kind.resource is not PODS or route.subresource not in SUBRESOURCES:
            raise statuses.no_such_path()
        pod = self._state.of(PODS).get(route.namespace, route.name)
        if pod is None:
            raise statuses.not_found(PODS, route.name)
        if self._kubelets is None:
            raise statuses.bad_request(f"{route.subresource}: no kubelet is connected to this server")
        if route.subresource == "portforward":
            return await _forward(http, partial(self._kubelets.connect, route.namespace, route.name))
        container = http.query.get("container") or str(pod.object["spec"]["containers"][0]["name"])
        where = (route.namespace, route.name, container)
        if route.subresource == "attach":
            return await _execute(http, Wanted.of(http.query), partial(self._kubelets.attach, *where))
        command = http.query.getall("command", [])
        if not command:
            raise statuses.bad_request("you must specify a command")
        return await _execute(http, Wanted.of(http.query), partial(self._kubelets.execute, *where, command))


def _check_origin(http: web.BaseRequest) -> None:
    """Refuse (403) pages of other sites: browsers let them open WebSockets to wherever they like, and name them."""
    origin = http.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != http.host:
        raise statuses.refuse(403, "Forbidden", f"pages of {origin} may not connect to {http.host}")


async def _execute(
    http: web.BaseRequest, wanted: Wanted, run: Callable[[Streams], Awaitable[int]]
) -> web.StreamResponse:
    if _is_websocket(http):
        socket = await _websocket(http, remote.WEBSOCKET_PROTOCOLS)
        await remote.over_websocket(socket, wanted, run)
        await socket.close()
        return socket
    protocol = _chosen(http.headers.getall(_HEADER, []), remote.SPDY_PROTOCOLS)
    return await _over_spdy(http, protocol, lambda session: remote.over_spdy(session, wanted, run))


async def _forward(http: web.BaseRequest, connect: forwarding.Connect) -> web.StreamResponse:
    def serve(session: Session) -> Awaitable[None]:
        return forwarding.forward(session, connect)

    if _is_websocket(http):
        socket = await _websocket(http, (forwarding.TUNNEL,))
        session = Session(socket.send_bytes)
        await _serve(session, serve, partial(_follow, socket, session))
        await socket.close()
        return socket
    protocol = _chosen(http.headers.getall(_HEADER, []), (forwarding.PROTOCOL,))
    return await _over_spdy(http, protocol, serve)


def _is_websocket(http: web.BaseRequest) -> bool:
    return http.headers["Upgrade"].lower() == "websocket"


def _chosen(offered: Sequence[str], known: Sequence[str]) -> str:
    """The first protocol that the server knows too. Refuses (403) where there is none, as Kubernetes does."""
    names = [name.strip() for line in offered for name in line.split(",")]
    for name in known:
        if name in names:
            return name
    raise statuses.refuse(
        403, "Forbidden", f"unable to upgrade: the client offers {names}, the server speaks {list(known)}"
    )


async def _websocket(http: web.BaseRequest, protocols: Sequence[str]) -> web.WebSocketResponse:
    chosen = _chosen(http.headers.getall("Sec-WebSocket-Protocol", []), protocols)
    socket = web.WebSocketResponse(protocols=(chosen,), heartbeat=_HEARTBEAT)
    await socket.prepare(http)
    return socket


async def _follow(socket: web.WebSocketResponse, session: Session) -> None:
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            session.feed(message.data)
            await session.room()


async def _over_spdy(http: web.BaseRequest, protocol: str, serve: Serve) -> web.StreamResponse:
    if http.headers["Upgrade"].upper() != "SPDY/3.1":
        raise statuses.bad_request(f"unable to upgrade to {http.headers['Upgrade']!r}: only to SPDY/3.1 or websocket")
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", _HEADER: protocol}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    arriving = _Arriving(http)
    http.protocol.set_parser(arriving)  # type: ignore[arg-type]  # whatever has feed_data and feed_eof will do
    await response.prepare(http)
    session = Session(response.write)
    await _serve(session, serve, partial(arriving.follow, session))
    return response


class _Arriving:
    """What aiohttp hands on the bytes of a connection to, once it no longer carries HTTP."""

    def __init__(self, http: web.BaseRequest) -> None:
        self._transport: Any = http.transport  # asyncio.ReadTransport, which aiohttp's type of it is not
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take in bytes; there is no end of it, and nothing is left over."""
        self._pieces.put_nowait(bytes(data))
        return False, b""

    def feed_eof(self) -> None:
        """Take in that the client has gone."""
        self._pieces.put_nowait(b"")

    async def follow(self, session: Session) -> None:
        """Hand on what comes, no faster than it is read."""
        while data := await self._pieces.get():
            session.feed(data)
            if session.full:
                self._transport.pause_reading()
                await session.room()
                self._transport.resume_reading()


async def _serve(session: Session, serve: Serve, follow: Callable[[], Awaitable[None]]) -> None:
    """Let a session go on until what it is for has ended, or the client has gone."""
    tasks = [asyncio.ensure_future(work) for work in (serve(session), follow(), session.answer())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and (error := task.exception()) is not None and not _expected(error):
                log.error("a connection over SPDY failed", exc_info=error)
    finally:
        session.end()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _expected(error: BaseException) -> bool:
    """Whether an error only says that the client has gone, or spoke no SPDY."""
    return isinstance(error, (ConnectionError, TimeoutError, ProtocolError))
