"""Accepts connections that begin with a PROXY header, and hands them on without it: plain ones and those with TLS.

The header is looked at while it is still in the socket, and exactly its bytes are taken: what follows belongs to TLS
or HTTP. Only peers in a trusted network may say who their client is; others are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address

from kingress.gateway import Gateway
from kingress.h1.client import ClientConnection
from kingress.proxyprotocol import LONGEST, BadPreface, parse

log = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds, after connections could not be accepted

Factory = Callable[[str], ClientConnection]  # of the client's address, "" where only the peer's is known


class Acceptor:
    """Accepts on one socket until it is closed. `asyncio.Server` has the same `close`."""

    def __init__(self, gateway: Gateway, sock: socket.socket, factory: Factory, tls: ssl.SSLContext | None) -> None:
        self._gateway = gateway
        self._sock = sock
        self._factory = factory
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())
        self._accepting.add_done_callback(lambda _: sock.close())

    def close(self) -> None:
        """Accept no more."""
        self._accepting.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(self._sock)
            except OSError as error:  # out of descriptors, most likely: some will come back
                log.warning("no connection can be accepted: %s; trying again in %g s", error.strerror, _PAUSE)
                await asyncio.sleep(_PAUSE)
                continue
            if len(self._tasks) >= self._gateway.settings.connections or not self._is_trusted(peer[0]):
                sock.close()
                continue
            task = loop.create_task(self._begin(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _is_trusted(self, peer: str) -> bool:
        address = ip_address(peer.removeprefix("::ffff:"))
        return any(address in network for network in self._gateway.settings.trusted)

    async def _begin(self, sock: socket.socket) -> None:
        loop, settings = asyncio.get_running_loop(), self._gateway.settings
        with contextlib.ExitStack() as undo, contextlib.suppress(BadPreface, OSError, TimeoutError):
            undo.callback(sock.close)
            async with asyncio.timeout(settings.head_timeout):
                client = await _preface(sock)
            await loop.connect_accepted_socket(
                lambda: self._factory(client),
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=settings.head_timeout if self._tls else None,
            )
            undo.pop_all()


async def _preface(sock: socket.socket) -> str:
    """Take the header out of the socket; gives the address it tells. Raises BadPreface, OSError."""
    loop, seen = asyncio.get_running_loop(), 0
    while True:
        readable = asyncio.Event()
        loop.add_reader(sock, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(sock)
        data = sock.recv(LONGEST, socket.MSG_PEEK)
        found = parse(data)
        if found is not None:
            length, address = found
            sock.recv(length)
            return address
        if len(data) <= seen:
            if not data:
                raise BadPreface("it ended")
            await asyncio.sleep(0.01)  # a part of it is there, and makes the socket readable again and again
        seen = len(data)
