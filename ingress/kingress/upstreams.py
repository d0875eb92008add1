"""The backends that routes name, their endpoints, and the connections to these."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kingress.backends import Address, Resolution
from kingress.balance import Balancer, Peer, RoundRobin
from kingress.h1.upstream import UpstreamConnection
from kingress.message import Response
from kingress.objects import BackendRef
from kingress.settings import Settings

if TYPE_CHECKING:
    from kingress.exchange import Exchange

_FRESH = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))  # on a connection that turns out stale, sent again


class Backend:
    """A Service port that routes name: its endpoints now, and who is next."""

    __slots__ = ("_balancer", "name", "peers", "reason", "ref")

    def __init__(self, ref: BackendRef, balancer: Balancer) -> None:
        self.ref = ref
        self.name = str(ref)
        self.peers: tuple[Peer, ...] = ()
        self.reason = ""  # why there are no peers
        self._balancer = balancer

    def choose(self, tried: Collection[Peer]) -> Peer | None:
        """Give the endpoint for a request that was sent to none, or in vain to those `tried`."""
        return self._balancer.choose(self.peers, tried)

    def update(self, resolution: Resolution) -> None:
        """Take in the endpoints of now. Those that stay keep their connections; those that go end what they do."""
        known: dict[Address, Peer] = {(peer.host, peer.port): peer for peer in self.peers}
        self.peers = tuple(known.pop(at) if at in known else Peer(*at) for at in resolution.addresses)
        self.reason = resolution.reason
        for peer in known.values():
            peer.gone = True
            for connection in list(peer.idle):
                connection.close()


def _words(error: OSError) -> str:
    """Say what the system says of an error, not how the event loop tells it."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


class Upstreams:
    """All backends and all connections to their endpoints."""

    def __init__(self, settings: Settings, resolve: Callable[[BackendRef], Resolution]) -> None:
        self._settings = settings
        self._resolve = resolve
        self._backends: dict[BackendRef, Backend] = {}
        self._by_service: dict[str, set[BackendRef]] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self.connections: set[UpstreamConnection] = set()
        self._heads: dict[bytes, Response] = {}  # what heads mean that have been read before

    def backend(self, ref: BackendRef) -> Backend:
        """Give a backend; it is looked up when it is first asked for, and kept current from then on."""
        backend = self._backends.get(ref)
        if backend is None:
            backend = self._backends[ref] = Backend(ref, RoundRobin())
            self._by_service.setdefault(ref.service_key, set()).add(ref)
            backend.update(self._resolve(ref))
        return backend

    def refresh(self, service_key: str) -> None:
        """The Service or its endpoints have changed."""
        for ref in self._by_service.get(service_key, ()):
            self._backends[ref].update(self._resolve(ref))

    def forget(self, ref: BackendRef) -> None:
        """No route names this backend any more."""
        backend = self._backends.pop(ref, None)
        if backend is not None:
            backend.update(Resolution())
            self._by_service[ref.service_key].discard(ref)

    def connect(self, peer: Peer, exchange: Exchange) -> None:
        """Give the exchange a connection to the endpoint: at once where one is idle."""
        peer.active += 1
        if peer.idle:
            connection = peer.idle[-1]
            # A request that must not be sent twice is not sent where the upstream may be about to hang up.
            if connection.quiet < 2 or exchange.request.method in _FRESH:
                exchange.connected(peer.idle.pop())
                return
        task = asyncio.get_running_loop().create_task(self._connect(peer, exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, peer: Peer, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(peer, self._settings, self.connections, self._heads),
                    peer.host,
                    peer.port,
                )
        except TimeoutError:
            peer.active -= 1
            exchange.unreachable(peer, f"no answer within {self._settings.connect_timeout:g} s", late=True)
        except OSError as error:
            peer.active -= 1
            exchange.unreachable(peer, _words(error), late=False)
        else:
            exchange.connected(connection)

    def tick(self) -> None:
        """Let time pass for all connections."""
        for connection in list(self.connections):
            connection.tick()

    def close(self) -> None:
        """End everything."""
        for task in self._connecting:
            task.cancel()
        for connection in list(self.connections):
            connection.close()
