"""The server put together: a store, what is known of it, and the ways to it."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType

from kapi.client import Client
from kapi.resources import Resource
from kapi.server.bootstrap import make_namespaces
from kapi.server.deleting import Deleter
from kapi.server.discovery import Discovery
from kapi.server.dispatch import Dispatcher
from kapi.server.http import HttpFront
from kapi.server.inprocess import InProcess
from kapi.server.kinds import KINDS
from kapi.server.settings import Settings
from kapi.server.state import State
from kapi.server.subresources import Subresources
from kapi.server.writing import Allocator, Writer
from kapi.store import Store


class ApiServer:
    """An API server for as long as its `async with` block lasts.

    `client()` calls it from this process; `listen` serves it over HTTP.
    """

    def __init__(self, store: Store, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._store = store
        self._state = State(tuple(kind.resource for kind in KINDS))
        allocators: dict[Resource, Allocator] = {}
        self._writer = Writer(self._state, store, allocators, self.settings.clock)
        self._dispatcher = Dispatcher(
            KINDS,
            state=self._state,
            writer=self._writer,
            deleter=Deleter(self._state, self._writer),
            discovery=Discovery(KINDS),
            subresources=Subresources(self._state, self._writer),
        )
        self._front = HttpFront(self._dispatcher)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> ApiServer:
        self._state.load(await self._store.open(self._state.take))
        await make_namespaces(self.client())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._front.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    def client(self) -> Client:
        """Give a client that calls this server directly. Objects it hands out must not be changed."""
        return Client(InProcess(self._dispatcher))

    async def listen(self, sock: socket.socket) -> None:
        """Serve HTTP on a bound, listening socket, which may be of another network namespace. May be called again."""
        await self._front.listen(sock)
