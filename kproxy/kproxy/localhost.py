"""NodePorts on 127.0.0.1 and ::1: forwarded here, since the kernel routes no packet from loopback to a pod.

iptables rules can do it for IPv4 with `route_localnet`, which opens loopback services of the node to its neighbours
(CVE-2020-8558). Here nothing of that is needed: connections to loopback are taken, and carried on to an endpoint
(KEP-6032). TCP only. The endpoint sees the node's address, as it does for any process of the node.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from kapi.network import Address, Protocol
from kproxy.host import Host
from kproxy.model import Frontend, Kind, Target
from kproxy.ports import Close, Ports, listening
from kproxy.sync import Done

log = logging.getLogger(__name__)

_LOOPBACK: dict[int, Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}
_TRIES = 3
_CONNECT_SECONDS = 5.0
_CHUNK = 1 << 16


@dataclass(slots=True)
class _Remembered:
    """Where the clients of a Service with session affinity go: all of them come from one address here."""

    target: Target
    until: float


class Localhost:
    """Listens on loopback for every TCP NodePort, and forwards."""

    def __init__(self, host: Host, refused: Callable[[str, str], None]) -> None:
        self._host = host
        self._refused = refused
        self._frontends: dict[str, dict[tuple[int, int], Frontend]] = {}  # by Service, then by IP family and port
        self._by_port: dict[tuple[int, int], tuple[str, Frontend]] = {}
        self._memory: dict[str, _Remembered] = {}
        self.accepted = 0  # connections
        self._ports = Ports(self._serve, self._tell)
        self.run = self._ports.run

    def take(self, done: Done) -> None:
        """Follow a finished sync."""
        if done.full:
            self._frontends.clear()
            self._by_port.clear()
        for key, owed in done.wanted.items():
            for place in self._frontends.pop(key, {}):
                self._by_port.pop(place, None)
            mine = {(f.place.family, f.place.port): f for f in owed.frontends if _is_for_us(f)}
            if mine:
                self._frontends[key] = mine
                self._by_port |= {place: (key, frontend) for place, frontend in mine.items()}
        self._ports.want(self._by_port)

    async def _serve(self, place: tuple[int, int]) -> Close:
        opened = listening(self._host, _LOOPBACK[place[0]], place[1])
        server = await asyncio.start_server(self._forwarding(place), sock=opened)

        async def close() -> None:
            server.close()

        return close

    def _forwarding(self, place: tuple[int, int]) -> Callable[[Reader, Writer], Awaitable[None]]:
        async def forward(reader: Reader, writer: Writer) -> None:
            upstream: tuple[Reader, Writer] | None = None
            self.accepted += 1
            try:
                upstream = await self._connected(place)
                if upstream is not None:
                    await asyncio.gather(_copy(reader, upstream[1]), _copy(upstream[0], writer))
            except OSError as error:
                log.info("a connection to localhost port %d broke: %s", place[1], error)
            finally:
                for end in (writer, *((upstream[1],) if upstream else ())):
                    end.close()

        return forward

    async def _connected(self, place: tuple[int, int]) -> tuple[Reader, Writer] | None:
        """Connect to an endpoint, another one where the first does not answer; None where there is none."""
        for _ in range(_TRIES):
            found = self._by_port.get(place)
            if found is None or not found[1].pool:
                return None
            target = self._chosen(found[1])
            opened = self._host.socket(socket.AF_INET6 if place[0] == 6 else socket.AF_INET, socket.SOCK_STREAM)
            opened.setblocking(False)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(opened, (str(target.address), target.port))
                return await asyncio.open_connection(sock=opened)
            except (OSError, TimeoutError) as error:
                opened.close()
                self._memory.pop(found[1].origin, None)
                log.info("%s of %s does not answer: %s", target, found[1].origin, error)
        return None

    def _chosen(self, frontend: Frontend) -> Target:
        known = self._memory.get(frontend.origin)
        now = time.monotonic()
        if frontend.affinity_seconds and known and known.until > now and known.target in frontend.pool:
            target = known.target
        else:
            target = random.choice(frontend.pool)
        if frontend.affinity_seconds:
            self._memory[frontend.origin] = _Remembered(target, now + frontend.affinity_seconds)
        return target

    def _tell(self, place: tuple[int, int], error: OSError) -> None:
        why = f"NodePort {place[1]} cannot be opened on {_LOOPBACK[place[0]]}: {error.strerror or error}"
        self._refused(self._by_port[place][0], why)


def _is_for_us(frontend: Frontend) -> bool:
    return frontend.kind is Kind.NODE_PORT and frontend.place.protocol is Protocol.TCP


async def _copy(reader: Reader, writer: Writer) -> None:
    """Copy one direction to its end, and pass the end on."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        with suppress(OSError):
            writer.write_eof()
