"""The backends that routes name, their endpoints, and the connections to these."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from kingress.backends import Address, Resolution
from kingress.balance import Balancer, Peer, RoundRobin
from kingress.h1.upstream import UpstreamConnection
from kingress.objects import BackendRef
from kingress.settings import Settings

if TYPE_CHECKING:
    from kingress.exchange import Exchange

_FRESH = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))  # on a connection that turns out stale, sent again


class Backend:
    """A Service port that routes name: its endpoints now, and who is next."""

    __slots__ = ("_balancer", "peers", "reason", "ref")

    def __init__(self, ref: BackendRef, balancer: Balancer) -> None:
        self.ref = ref
        self.peers: tuple[Peer, ...] = ()
        self.reason = ""  # why there are no peers
        self._balancer = balancer

    def choose(self, tried: Collection[Peer]) -> Peer | None:
        """Give the endpoint for a request that was sent to none, or in vain to those `tried`."""
        return self._balancer.choose(self.peers, tried)

    def update(self, resolution: Resolution) -> None:
        """Take in the endpoints of now. Those that stay keep their connections; those that go end what they do."""
        known: dict[Address, Peer] = {(peer.host, peer.port): peer for peer in self.peers}
        self.peers = tuple(known.pop(address, None) or Peer(*address) for address in resolution.addresses)
        self.reason = resolution.reason
        for peer in known.values():
            peer.gone = True
            for connection in list(peer.idle):
                connection.close()


class Upstreams:
    """All backends and all connections to their endpoints."""

    def __init__(self, settings: Settings, resolve: Callable[[BackendRef], Resolution]) -> None:
        self._settings = settings
        self._resolve = resolve
        self._backends: dict[str, dict[BackendRef, Backend]] = {}  # by the Service's key
        self._connecting: set[asyncio.Task[None]] = set()
        self.connections: set[UpstreamConnection] = set()

    def backend(self, ref: BackendRef) -> Backend:
        """Give a backend; it is looked up when it is first asked for, and kept current from then on."""
        of_service = self._backends.setdefault(ref.service_key, {})
        backend = of_service.get(ref)
        if backend is None:
            backend = of_service[ref] = Backend(ref, RoundRobin())
            backend.update(self._resolve(ref))
        return backend

    def refresh(self, service_key: str) -> None:
        """The Service or its endpoints have changed."""
        for ref, backend in self._backends.get(service_key, {}).items():
            backend.update(self._resolve(ref))

    def retain(self, used: Callable[[BackendRef], bool]) -> None:
        """Forget the backends that no route names any more."""
        for key, of_service in list(self._backends.items()):
            for ref in [ref for ref in of_service if not used(ref)]:
                of_service.pop(ref).update(Resolution())
            if not of_service:
                del self._backends[key]

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
                    lambda: UpstreamConnection(peer, self._settings, self.connections), peer.host, peer.port
                )
        except TimeoutError:
            peer.active -= 1
            exchange.unreachable(peer, f"no answer within {self._settings.connect_timeout:g} s", late=True)
        except OSError as error:
            peer.active -= 1
            exchange.unreachable(peer, (error.strerror or str(error)).lower(), late=False)
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
