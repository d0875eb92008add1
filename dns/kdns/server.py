"""The sockets: UDP and TCP on one port.

Most queries are answered where they are read: when the event loop says that a UDP socket is readable, what has arrived
is read, answered and sent in one go. Only what must wait for an upstream becomes a task. Nothing that a client sends
raises, and nothing it does can hold more than the limits below.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kapi.network import Address
from kdns import wire
from kdns.batch import Batch, Peer
from kdns.chain import Chain
from kdns.errors import SettingInvalid
from kdns.query import STREAM_LIMIT, Query
from kdns.responder import Responder

log = logging.getLogger(__name__)

_RECEIVE_BUFFER = 1 << 20  # octets the kernel keeps for us: a burst of some thousand queries
_BACKLOG = 256
_PORT_TRIES = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may hold. Times are in seconds."""

    waiting: int = 1000  # queries that wait for an upstream, over all clients
    streams: int = 256  # TCP connections
    waiting_on_stream: int = 64  # queries that wait, on one of them
    idle: float = 10.0  # a connection that asks nothing for so long is closed (RFC 7766 section 6.2.3)


@dataclass(frozen=True, slots=True)
class Listener:
    """A UDP and a TCP socket on the same address and port."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def port(self) -> int:
        """The port that both are bound to."""
        return int(self.udp.getsockname()[1])

    def close(self) -> None:
        """Give both sockets back."""
        self.udp.close()
        self.tcp.close()


def bind(address: Address, port: int) -> Listener:
    """Bind both sockets; port 0 takes one that is free for both. Raises `SettingInvalid` where that fails."""
    for attempt in range(_PORT_TRIES):
        udp, tcp = _socket(address, socket.SOCK_DGRAM), _socket(address, socket.SOCK_STREAM)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            udp.bind((str(address), port))
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((str(address), udp.getsockname()[1]))
            tcp.listen(_BACKLOG)
        except OSError as error:
            udp.close()
            tcp.close()
            if port or attempt == _PORT_TRIES - 1:
                raise SettingInvalid(f"cannot listen on {address} port {port}: {error.strerror}") from error
        else:
            return Listener(udp, tcp)
    raise AssertionError("unreachable")


class Server:
    """Serves a chain on listeners."""

    def __init__(self, chain: Chain, limits: Limits | None = None) -> None:
        self._chain = chain
        self._limits = limits or Limits()
        self._responder = Responder(chain.lookup)
        self._waiting = 0
        self._streams = 0

    async def run(self, listeners: Sequence[Listener]) -> None:
        """Answer until cancelled. The listeners stay open: who made them closes them."""
        loop = asyncio.get_running_loop()
        servers: list[asyncio.Server] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for listener in listeners:
                    servers.append(await self._serve_tcp(listener.tcp, tasks))
                    loop.add_reader(listener.udp, self._reader(Batch(listener.udp), tasks))
                await asyncio.Event().wait()
        finally:
            for listener in listeners:
                loop.remove_reader(listener.udp)
            for server in servers:
                server.close()

    async def _serve_tcp(self, sock: socket.socket, tasks: asyncio.TaskGroup) -> asyncio.Server:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._streams >= self._limits.streams:
                writer.close()
            else:
                self._streams += 1
                tasks.create_task(self._stream(reader, writer))

        return await asyncio.start_server(accepted, sock=sock.dup(), limit=STREAM_LIMIT + 2)

    def _reader(self, batch: Batch, tasks: asyncio.TaskGroup) -> Callable[[], None]:
        """Give the function that answers the queries which have arrived on a UDP socket."""
        plain = self._responder.plain

        def answer(data: bytes, slot: int) -> bytes | None:
            return plain(data) or self._considered(data, batch, slot, tasks)

        def read() -> None:
            batch.exchange(answer)

        return read

    def _considered(self, data: bytes, batch: Batch, slot: int, tasks: asyncio.TaskGroup) -> bytes | None:
        found = self._responder.considered(data)
        if not isinstance(found, Query):
            return found
        if self._waiting >= self._limits.waiting:
            return self._responder.reply(found, wire.SERVFAIL)
        self._waiting += 1
        tasks.create_task(self._later(found, batch, batch.peer(slot)))
        return None

    async def _later(self, query: Query, batch: Batch, peer: Peer) -> None:
        try:
            batch.send(await self._resolved(query), peer)
        finally:
            self._waiting -= 1

    async def _resolved(self, query: Query, limit: int = 0) -> bytes:
        try:
            answer = await self._chain.resolve(query)
            return self._responder.reply(query, answer, limit)
        except Exception:  # the outermost edge: one question may not end the service of all others
            log.exception("a question of type %d for %r could not be answered", query.type, query.name)
            return self._responder.reply(query, wire.SERVFAIL, limit)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of one TCP connection as they come, each as soon as its answer is known (RFC 7766)."""
        room = asyncio.Semaphore(self._limits.waiting_on_stream)
        try:
            async with asyncio.TaskGroup() as tasks:
                while (data := await self._next_message(reader, writer)) is not None:
                    found = self._responder.considered(data, STREAM_LIMIT)
                    if isinstance(found, Query):
                        await room.acquire()
                        tasks.create_task(self._later_on_stream(found, writer, room))
                    elif found is None:
                        break  # not a query at all: whoever this is, it does not speak DNS
                    else:
                        writer.write(len(found).to_bytes(2, "big") + found)
        finally:
            self._streams -= 1
            writer.close()

    async def _later_on_stream(self, query: Query, writer: asyncio.StreamWriter, room: asyncio.Semaphore) -> None:
        try:
            reply = await self._resolved(query, STREAM_LIMIT)
            writer.write(len(reply).to_bytes(2, "big") + reply)
        finally:
            room.release()

    async def _next_message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """Read one message; None where the client is done, silent, or does not take its answers."""
        try:
            async with asyncio.timeout(self._limits.idle):
                await writer.drain()
                size = int.from_bytes(await reader.readexactly(2), "big")
                return await reader.readexactly(size)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            return None


def _socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, kind)
    sock.setblocking(False)
    if address.version == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
