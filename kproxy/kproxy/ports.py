"""Servers that come and go with Services: one for each port that is wanted, on the host the proxy acts on."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from kapi.network import Address
from kproxy.host import Host

log = logging.getLogger(__name__)

Close = Callable[[], Awaitable[None]]
K = TypeVar("K")
_AGAIN_SECONDS = 5.0


class Ports(Generic[K]):
    """Keeps a server open on each wanted port, and tries again where one cannot be opened.

    A port is whatever its user tells servers apart by. `serve` opens the server of a port and gives what closes it;
    `refused` hears once of each port that fails.
    """

    def __init__(self, serve: Callable[[K], Awaitable[Close]], refused: Callable[[K, OSError], None]) -> None:
        self._serve = serve
        self._refused = refused
        self._wanted: frozenset[K] = frozenset()
        self._open: dict[K, Close] = {}
        self._told: set[K] = set()
        self._wake = asyncio.Event()

    def want(self, ports: Iterable[K]) -> None:
        """Say which ports are wanted from now on. Never waits."""
        wanted = frozenset(ports)
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; then close everything."""
        try:
            while True:
                self._wake.clear()
                await self._reconcile()
                with suppress(TimeoutError):
                    waits = None if self._wanted == self._open.keys() else _AGAIN_SECONDS
                    await asyncio.wait_for(self._wake.wait(), waits)
        finally:
            for close in self._open.values():
                await close()

    async def _reconcile(self) -> None:
        for port in self._open.keys() - self._wanted:
            await self._open.pop(port)()
        self._told &= self._wanted
        for port in self._wanted - self._open.keys():
            try:
                self._open[port] = await self._serve(port)
                self._told.discard(port)
            except OSError as error:
                if port not in self._told:
                    self._told.add(port)
                    self._refused(port, error)


def listening(host: Host, address: Address, port: int) -> socket.socket:
    """Open a listening TCP socket on a host. Raises OSError."""
    opened = host.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.version == 6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((str(address), port))
        opened.listen(128)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
