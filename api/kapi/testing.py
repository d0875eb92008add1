"""A server for tests: the real one, in memory, in this process and over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from kapi.client import Client
from kapi.informer import Informer
from kapi.server import ApiServer, Settings
from kapi.store import Store
from kapi.store.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: `client` calls it directly, `http` over a socket at `url`."""

    server: ApiServer
    client: Client
    http: Client
    url: str


@asynccontextmanager
async def serving(store: Store | None = None, settings: Settings | None = None) -> AsyncIterator[Served]:
    """Run a server on a free port of 127.0.0.1 for as long as the block lasts."""
    async with ApiServer(store or MemoryStore(), settings) as server:
        sock = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        await server.listen(sock)
        http = Client.connect(url)
        try:
            yield Served(server, server.client(), http, url)
        finally:
            await http.close()


@asynccontextmanager
async def informing(informer: Informer) -> AsyncIterator[None]:
    """Let an informer keep its cache for as long as the block lasts."""
    task = asyncio.create_task(informer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
