"""Listens, lets time pass, and ends in an orderly way."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

from kingress import checks
from kingress.accept import Acceptor
from kingress.gateway import Gateway
from kingress.h1.client import ClientConnection

log = logging.getLogger(__name__)

_BACKLOG = 1024
_ARRIVING = 0.05  # seconds; until then, connections that were accepted just before have become clients


class Server:
    """Serves a gateway on sockets. Use as an asynchronous context manager; leaving it drains."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._servers: list[asyncio.Server | Acceptor] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Server:
        checking = checks.run(self.gateway.upstreams, self.gateway.settings)
        self._tasks = [asyncio.create_task(self._tick()), asyncio.create_task(checking)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    async def listen(self, sock: socket.socket, *, tls: ssl.SSLContext | None = None, port: int | None = None) -> None:
        """Serve on a bound socket, of whichever network namespace. `port` is what X-Forwarded-Port tells."""
        told = port if port is not None else sock.getsockname()[1]
        scheme = "https" if tls else "http"
        settings = self.gateway.settings
        if settings.proxy_protocol:
            self._servers.append(
                Acceptor(self.gateway, sock, lambda client: ClientConnection(self.gateway, scheme, told, client), tls)
            )
            return
        self._servers.append(
            await asyncio.get_running_loop().create_server(
                lambda: ClientConnection(self.gateway, scheme, told),
                sock=sock,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=settings.head_timeout if tls else None,
                ssl_shutdown_timeout=settings.linger if tls else None,
            )
        )

    async def drain(self) -> None:
        """Accept no more, let every response end, and cut what takes too long."""
        gateway = self.gateway
        gateway.draining = True
        for server in self._servers:
            server.close()
        await asyncio.sleep(_ARRIVING)
        for client in list(gateway.clients):
            client.drain()
        try:
            async with asyncio.timeout(gateway.settings.drain):
                while gateway.clients:  # noqa: ASYNC110  # they go one by one, and only here does anyone wait for it
                    await asyncio.sleep(0.02)
        except TimeoutError:
            for client in list(gateway.clients):
                client.cut()
        for task in self._tasks:
            task.cancel()
        gateway.upstreams.close()
        await asyncio.sleep(0)  # lets the connections see that they are closed
        gateway.flush()

    async def _tick(self) -> None:
        gateway = self.gateway
        while True:
            await asyncio.sleep(gateway.settings.tick)
            try:
                gateway.tick()
            except Exception:  # the outermost edge: without its turns nothing times out any more
                log.exception("a turn of the housekeeping failed")
