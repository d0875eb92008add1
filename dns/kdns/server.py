"""The sockets: UDP and TCP on one port.

Most queries are answered where they are read: when the event loop says that a UDP socket is readable, what has arrived
is read, answered and sent in one go. Only what must wait for an upstream becomes a task. Nothing that a client sends
raises, and nothing it does can hold more than the limits below.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from kapi.network import Address
from kdns import responder, wire
from kdns.batch import Batch, Peer
from kdns.edns import Options
from kdns.errors import SettingInvalid
from kdns.likeness import STANDARD, Likeness
from kdns.limiter import Limiter
from kdns.observe import Observer, Seen
from kdns.query import STREAM_LIMIT, Query
from kdns.responder import Responder
from kdns.wire import Answer, Type

log = logging.getLogger(__name__)

_RECEIVE_BUFFER = 1 << 20  # octets the kernel keeps for us: a burst of some thousand queries
_BACKLOG = 256
_PORT_TRIES = 32
_TRANSFERS = (Type.AXFR, Type.IXFR)


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


def bind(address: Address, port: int, *, shared: bool = False) -> Listener:
    """Bind both sockets; port 0 takes one that is free for both. Raises `SettingInvalid` where that fails.

    With `shared`, other processes may bind the same place; the kernel spreads queries over all (SO_REUSEPORT).
    """
    for attempt in range(_PORT_TRIES):
        udp, tcp = _socket(address, socket.SOCK_DGRAM), _socket(address, socket.SOCK_STREAM)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            for sock in (udp, tcp):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
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


@dataclass(frozen=True, slots=True)
class _Connection:
    """Where replies over TCP or TLS go, and how many queries may wait there."""

    writer: asyncio.StreamWriter
    room: asyncio.Semaphore
    client: tuple[str, int]
    proto: str

    def write(self, reply: bytes) -> None:
        self.writer.write(len(reply).to_bytes(2, "big") + reply)


class Answering(responder.Answering, Protocol):
    """What a server asks: a chain, or several of them."""

    async def resolve(self, query: Query) -> Answer:
        """See `Chain.resolve`."""
        ...

    async def transfer(self, query: Query) -> Iterator[Answer] | None:
        """See `Chain.transfer`."""
        ...


class Server:
    """Serves on listeners. What answers may be exchanged while it runs: no query is lost."""

    def __init__(
        self,
        answering: Answering,
        limits: Limits | None = None,
        *,
        options: Options | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self.observer: Observer | None = None
        self._limiter = limiter
        self.failures = 0  # queries that met a fault of this program
        self._waiting = 0
        self._streams = 0
        self.exchange(answering, options)

    def exchange(
        self,
        answering: Answering,
        options: Options | None = None,
        likeness: Likeness = STANDARD,
        payload: int = 0,
    ) -> None:
        """Answer from now on with something else; see `Responder`."""
        self._answering = answering
        self._responder = Responder(answering, options, likeness, payload)

    async def run(self, listeners: Sequence[Listener]) -> None:
        """Answer until cancelled. The listeners stay open: who made them closes them."""
        loop = asyncio.get_running_loop()
        servers: list[asyncio.Server] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for listener in listeners:
                    servers.append(await self.serve_streams(listener.tcp, tasks))
                    loop.add_reader(listener.udp, self._reader(Batch(listener.udp), tasks))
                await asyncio.Event().wait()
        finally:
            for listener in listeners:
                loop.remove_reader(listener.udp)
            for server in servers:
                server.close()

    async def serve_streams(
        self, sock: socket.socket, tasks: asyncio.TaskGroup, tls: ssl.SSLContext | None = None
    ) -> asyncio.Server:
        """Accept connections on a listening socket, over TLS where a context is given (RFC 7858)."""

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._streams >= self._limits.streams:
                writer.close()
            else:
                self._streams += 1
                tasks.create_task(self._stream(reader, writer))

        return await asyncio.start_server(accepted, sock=sock.dup(), limit=STREAM_LIMIT + 2, ssl=tls)

    async def answer(self, data: bytes, client: tuple[str, int], proto: str) -> bytes | None:
        """Answer one query that came over something with room for every reply; None where none is deserved."""
        started = perf_counter()
        found = self._consider(data, client)
        reply = await self._resolved(found, STREAM_LIMIT) if isinstance(found, Query) else found
        self._observe(data, reply, client, proto, started)
        return reply

    def _consider(self, data: bytes, client: tuple[str, int]) -> bytes | Query | None:
        """Read what came over something with room for every reply; see `Responder.considered`."""
        try:
            return self._responder.considered(data, STREAM_LIMIT, client[0])
        except Exception:  # the outermost edge: one query may not end the service of all others
            self.failures += 1
            log.exception("a query could not be considered: %r", data)
            return None

    def _reader(self, batch: Batch, tasks: asyncio.TaskGroup) -> Callable[[], None]:
        """Give the function that answers the queries which have arrived on a UDP socket."""

        def answer(data: bytes, slot: int) -> bytes | None:
            try:
                return self._responder.plain(data) or self._considered(data, batch, slot, tasks)
            except Exception:  # the outermost edge: one query may not cost the others of its batch their replies
                self.failures += 1
                log.exception("a query could not be considered: %r", data)
                return None

        def watched(data: bytes, slot: int) -> bytes | None:
            started = perf_counter()
            reply = answer(data, slot)
            if reply is not None and self._limiter is not None:
                reply = self._limited(data, reply, batch.source(slot), lambda: batch.peer(slot))
            if reply is not None and self.observer is not None:
                self._observe(data, reply, batch.peer(slot).address[:2], "udp", started)
            return reply

        def read() -> None:
            observer = self.observer
            if self._limiter is not None or (observer is not None and observer.each):
                batch.exchange(watched)
            elif observer is not None:
                _counted(batch, answer, self._responder.author, observer)
            else:
                batch.exchange(answer)

        return read

    def _limited(self, data: bytes, reply: bytes, network: bytes, peer: Callable[[], Peer]) -> bytes | None:
        """Give what of a reply may be sent over UDP: all to who shows a cookie from here, for it is where it says."""
        sent = self._limiter.limited(network, data, reply) if self._limiter is not None else reply
        return reply if sent is not reply and self._responder.knows(data, peer().address[0]) else sent

    def _considered(self, data: bytes, batch: Batch, slot: int, tasks: asyncio.TaskGroup) -> bytes | None:
        peer = batch.peer(slot)
        found = self._responder.considered(data, 0, peer.address[0])
        if not isinstance(found, Query):
            return found
        if self._waiting >= self._limits.waiting:
            return self._responder.reply(found, wire.SERVFAIL)
        self._waiting += 1
        tasks.create_task(self._later(data, found, batch, peer, batch.source(slot)))
        return None

    async def _later(self, data: bytes, query: Query, batch: Batch, peer: Peer, network: bytes) -> None:
        started = perf_counter()
        try:
            reply = self._limited(data, await self._resolved(query), network, lambda: peer)
            if reply is not None:
                self._observe(data, reply, peer.address[:2], "udp", started)
                batch.send(reply, peer)
        finally:
            self._waiting -= 1

    async def _resolved(self, query: Query, limit: int = 0) -> bytes:
        try:
            answer = await self._answering.resolve(query)
            return self._responder.reply(query, answer, limit)
        except Exception:  # the outermost edge: one question may not end the service of all others
            self.failures += 1
            log.exception("a question of type %d for %r could not be answered", query.type, query.name)
            return self._responder.reply(query, wire.SERVFAIL, limit)

    def _observe(self, data: bytes, reply: bytes | None, client: tuple[str, int], proto: str, started: float) -> None:
        if self.observer is None or reply is None:
            return
        family = "2" if ":" in client[0] else "1"
        try:
            author = self._responder.author(data)
            self.observer.one(Seen(data, reply, client, proto, family, perf_counter() - started, author))
        except Exception:  # the outermost edge: a log that cannot be written (a full disk) costs nobody an answer
            self.failures += 1
            log.exception("a query could not be told of: %r", data)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the queries of one connection as they come, each as soon as its answer is known (RFC 7766)."""
        client = tuple(writer.get_extra_info("peername") or ("", 0))[:2]
        proto = "tls" if writer.get_extra_info("ssl_object") else "tcp"
        connection = _Connection(writer, asyncio.Semaphore(self._limits.waiting_on_stream), client, proto)
        try:
            async with asyncio.TaskGroup() as tasks:
                while (data := await self._next_message(reader, writer)) is not None:
                    started = perf_counter()
                    found = self._consider(data, client)
                    if isinstance(found, Query):
                        await connection.room.acquire()
                        tasks.create_task(self._later_on_stream(data, found, connection))
                    elif found is None:
                        break  # not a query at all: whoever this is, it does not speak DNS
                    else:
                        self._observe(data, found, client, proto, started)
                        connection.write(found)
        finally:
            self._streams -= 1
            writer.close()

    async def _later_on_stream(self, data: bytes, query: Query, connection: _Connection) -> None:
        started = perf_counter()
        try:
            whole = await self._answering.transfer(query) if query.type in _TRANSFERS else None
            if whole is not None:
                await self._transfer(query, whole, connection)
                return
            reply = await self._resolved(query, STREAM_LIMIT)
            self._observe(data, reply, connection.client, connection.proto, started)
            connection.write(reply)
        finally:
            connection.room.release()

    async def _transfer(self, query: Query, whole: Iterator[Answer], connection: _Connection) -> None:
        """Send a whole zone, as fast as the client takes it."""
        with contextlib.suppress(OSError, TimeoutError):
            for answer in whole:
                connection.write(self._responder.reply(query, answer, STREAM_LIMIT))
                async with asyncio.timeout(self._limits.idle):
                    await connection.writer.drain()

    async def _next_message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        """Read one message; None where the client is done, silent, or does not take its answers."""
        try:
            async with asyncio.timeout(self._limits.idle):
                await writer.drain()
                size = int.from_bytes(await reader.readexactly(2), "big")
                return await reader.readexactly(size)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            return None


def _counted(
    batch: Batch,
    answer: Callable[[bytes, int], bytes | None],
    author: Callable[[bytes], str],
    observer: Observer,
) -> None:
    """Answer what has arrived, and tell the observer of all of it at once."""
    replied: list[tuple[bytes, bytes, str]] = []

    def noted(data: bytes, slot: int) -> bytes | None:
        reply = answer(data, slot)
        if reply is not None:
            replied.append((data, reply, author(data)))
        return reply

    started = perf_counter()
    batch.exchange(noted)
    if replied:
        observer.many(replied, perf_counter() - started, batch.family)


def _socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, kind)
    sock.setblocking(False)
    if address.version == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
