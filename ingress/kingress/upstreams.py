"""The backends that routes name, their endpoints, and the connections to these."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kingress.authorities import BadAuthority
from kingress.backends import Resolution
from kingress.balance import Peer, balancer
from kingress.ejections import Ejections
from kingress.h1.upstream import UpstreamConnection
from kingress.message import REPEATABLE, Response
from kingress.objects import BackendRef, Target
from kingress.policy import Conduct
from kingress.pool import Backend
from kingress.settings import Settings

if TYPE_CHECKING:
    from kingress.exchange import Exchange


def _words(error: OSError | ValueError) -> str:
    """Say what the system says of an error, not how the event loop tells it."""
    if isinstance(error, ssl.SSLCertVerificationError):  # which is a ValueError, too
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, ValueError):
        return f"a name that cannot be one: {error}"
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)


class Upstreams:
    """All backends and all connections to their endpoints."""

    def __init__(
        self,
        settings: Settings,
        resolve: Callable[[BackendRef], Resolution],
        context: Callable[[Conduct], ssl.SSLContext] | None = None,
        ejections: Ejections | None = None,
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        self._context = context
        self._backends: dict[Target, Backend] = {}
        self._by_service: dict[str, set[Target]] = {}
        self._ejected: set[Backend] = set()  # those of whose endpoints some are
        self._ejections = ejections or Ejections()
        self._connecting: set[asyncio.Task[None]] = set()
        self.connections: set[UpstreamConnection] = set()
        self._heads: dict[bytes, Response] = {}  # what heads mean that have been read before

    def backend(self, target: Target) -> Backend:
        """Give a backend; it is looked up when it is first asked for, and kept current from then on."""
        backend = self._backends.get(target)
        if backend is None:
            chooser = balancer(target.conduct.balance, random.randrange)
            backend = self._backends[target] = Backend(target, chooser)
            self._by_service.setdefault(target.ref.service_key, set()).add(target)
            self._update(backend)
        return backend

    @property
    def backends(self) -> list[Backend]:
        """All that have been asked for."""
        return list(self._backends.values())

    def refresh(self, service_key: str) -> None:
        """The Service or its endpoints have changed."""
        for target in self._by_service.get(service_key, ()):
            self._update(self._backends[target])

    def refresh_authority(self, secret: str) -> None:
        """The Secret with the CA of endpoints has changed."""
        for target, backend in self._backends.items():
            if target.conduct.authority == secret:
                self._update(backend)

    def _update(self, backend: Backend) -> None:
        resolution = self._resolve(backend.ref)
        if backend.conduct.https and self._context is not None:
            try:
                backend.tls = self._context(backend.conduct)
            except BadAuthority as error:
                resolution = Resolution(reason=str(error))
        backend.update(resolution)

    def forget(self, target: Target) -> None:
        """No route names this backend any more."""
        backend = self._backends.pop(target, None)
        if backend is not None:
            backend.update(Resolution())
            self._by_service[target.ref.service_key].discard(target)

    def failed(self, backend: Backend, peer: Peer) -> None:
        """An endpoint did not answer an attempt: after several in a row it is left alone for a while."""
        peer.failures += 1
        beyond = peer.failures - self._settings.eject_after
        if beyond >= 0 and not peer.ejected:
            seconds = min(self._settings.eject_for * (1 + beyond), self._settings.eject_longest)
            self._eject(backend, peer, seconds)
            self._ejections.put(backend.target, peer, time.monotonic() + seconds)

    def _eject(self, backend: Backend, peer: Peer, seconds: float) -> None:
        peer.ejected = max(1, round(seconds / self._settings.tick))
        backend.sort_out()
        self._ejected.add(backend)

    def _follow(self) -> None:
        """Leave alone what other processes leave alone."""
        now = time.monotonic()
        for backend in self._backends.values():
            for peer in backend.peers:
                seconds = self._ejections.end(backend.target, peer) - now
                if seconds > 0 and not peer.ejected:
                    self._eject(backend, peer, seconds)

    def connect(self, backend: Backend, peer: Peer, exchange: Exchange) -> None:
        """Give the exchange a connection to the endpoint: at once where one is idle.

        A request that is tried again gets a new one: where one idle connection was stale, others may be.
        """
        peer.active += 1
        idle = peer.idle
        if idle and exchange.attempts == 1:
            if exchange.request.method in REPEATABLE:
                exchange.connected(idle.pop())
                return
            connection = idle[-1]
            # A request that must not be sent twice is not sent where the upstream has hung up, or may be about to.
            if connection.quiet < 1 and not connection.stale():
                exchange.connected(idle.pop())
                return
        task = asyncio.get_running_loop().create_task(self._connect(backend, peer, exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, backend: Backend, peer: Peer, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        seconds = backend.conduct.connect_timeout or self._settings.connect_timeout
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(peer, self._settings, self.connections, self._heads),
                    peer.host,
                    peer.port,
                    ssl=backend.tls,
                    server_hostname=backend.server_name if backend.tls else None,
                )
        except TimeoutError:
            peer.active -= 1
            exchange.unreachable(peer, f"no answer within {seconds:g} s", late=True)
        except (OSError, ValueError) as error:  # a ValueError: the name of the server is none (IDNA)
            peer.active -= 1
            exchange.unreachable(peer, _words(error), late=False)
        else:
            exchange.connected(connection)

    def tick(self) -> None:
        """Let time pass for all connections."""
        for connection in list(self.connections):
            connection.tick()
        if self._ejections.changed():
            self._follow()
        self._ejected = {backend for backend in self._ejected if backend.tick()}

    def close(self) -> None:
        """End everything."""
        for task in self._connecting:
            task.cancel()
        for connection in list(self.connections):
            connection.close()
