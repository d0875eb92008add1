"""The server put together: a store, what is known of it, the ways to it, and the work that follows from changes."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from types import TracebackType

from kapi.client import Client
from kapi.resources import INGRESSES, PODS, SERVICES
from kapi.server import bootstrap
from kapi.server.addresses import ServiceAddresses
from kapi.server.admission import default_ingress_class, default_service_account
from kapi.server.collector import Collector
from kapi.server.deleting import Deleter
from kapi.server.discovery import Discovery
from kapi.server.dispatch import Dispatcher
from kapi.server.expiry import expire_events
from kapi.server.http import Guard, HttpFront
from kapi.server.identity import Authenticator
from kapi.server.inprocess import InProcess
from kapi.server.kinds import KINDS, Kind
from kapi.server.namespaces import NamespaceController
from kapi.server.reviews import REVIEWS, Reviews
from kapi.server.settings import Settings
from kapi.server.state import State
from kapi.server.streaming.front import StreamingFront
from kapi.server.subresources import Subresources
from kapi.server.writing import Writer
from kapi.store import Store


class ApiServer:
    """An API server for as long as its `async with` block lasts.

    `client()` calls it from this process; `listen` serves it over HTTP. `kinds` are what it serves: those of
    `kapi.server.kinds`, or more. Raises `kapi.store.StoreError` where the store cannot be opened.
    """

    def __init__(self, store: Store, settings: Settings | None = None, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.settings = settings or Settings()
        self._store = store
        stored = tuple(kind for kind in kinds if kind.stored_as is None)
        self._state = state = State(tuple(kind.resource for kind in stored))
        self._addresses = ServiceAddresses(self.settings.service_cidrs, self.settings.node_port_range)
        self._writer = writer = Writer(
            state,
            store,
            allocators={SERVICES: self._addresses},
            admissions={INGRESSES: default_ingress_class(state), PODS: default_service_account},
            clock=self.settings.clock,
        )
        deleter = Deleter(state, writer)
        authenticator = Authenticator(
            state,
            self.settings.signing_key,
            self.settings.clock,
            static=self.settings.tokens,
            anonymous=self.settings.anonymous,
        )
        self._dispatcher = Dispatcher(
            kinds,
            clock=self.settings.clock,
            catch_up=store.catch_up,
            state=state,
            writer=writer,
            deleter=deleter,
            discovery=Discovery(kinds, REVIEWS),
            subresources=Subresources(state, writer, deleter, self.settings),
            reviews=Reviews(authenticator),
        )
        self._collector = Collector(kinds, state, writer, deleter)
        self._namespaces = NamespaceController(stored, state, writer, deleter)
        self._front = HttpFront(self._dispatcher, authenticator, StreamingFront(state, self.settings.kubelets))
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> ApiServer:
        gc.disable()  # all that is stored comes at once, and none of it is garbage
        try:
            self._state.load(await self._store.open(self._state.take))
        finally:
            gc.enable()
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _start(self) -> None:
        services = self._state.of(SERVICES)
        self._addresses.repair(services.records())
        services.watchers.add(self._addresses.watch)
        await bootstrap.make(self.client(), self.settings)
        self._collector.start()
        self._namespaces.start()
        for work in (
            self._collector.run(),
            self._namespaces.run(),
            expire_events(self._state, self._writer, self.settings.clock),
            bootstrap.keep(self.client(), self.settings),
        ):
            self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """End connections and background work, and close the store."""
        await self._front.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._store.close()

    def client(self, agent: str = "kapi") -> Client:
        """Give a client that calls this server directly, as the component `agent`.

        Objects it hands out must not be changed. They have no `managedFields`.
        """
        return Client(InProcess(self._dispatcher, agent))

    async def listen(self, sock: socket.socket, tls: ssl.SSLContext | None = None, guard: Guard | None = None) -> None:
        """Serve on a bound, listening socket, which may be of another network namespace. May be called again.

        With `tls` (see `kapi.server.certificates`) it is HTTPS, and callers must say who they are; without, it is HTTP
        and anyone who can connect may do anything, unless a `guard` says why not: it is asked with the addresses of
        client and server, and gives "" for those who may.
        """
        await self._front.listen(sock, tls, guard)
