"""Carries TCP connections on: small ones by copying, bulk by splice, which moves pages and not bytes."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_address

from kapi.network import Address
from kproxy.backends.userspace.amounts import Amounts, Carried
from kproxy.host import Host
from kproxy.model import Target

log = logging.getLogger(__name__)

_CHUNK = 1 << 16
_BULK = 1 << 20
_ACCEPTS = 64  # connections taken before others have their turn
_TRIES = 3
_CONNECT_SECONDS = 5.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)  # what ends when others end
_PAUSE_SECONDS = 1.0

Choose = Callable[[Address], Target | None]
Counted = Callable[[Target], Amounts]  # gives where what goes to an endpoint, and comes from it, is added up


class Connection:
    """One client and the endpoint it is carried to. Ends when both sides have ended, or either has failed."""

    def __init__(
        self, client: socket.socket, endpoint: socket.socket, amounts: Amounts, done: Callable[[Connection], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = (client, endpoint)
        self._ways = (_Way(self, client, endpoint, amounts.asked), _Way(self, endpoint, client, amounts.answered))
        self._done = done
        self._open = True

    def start(self) -> None:
        """Begin to carry."""
        for way in self._ways:
            way.start()

    def ended(self) -> None:
        """One way has ended."""
        if all(way.finished for way in self._ways):
            self.close()

    def close(self) -> None:
        """End at once."""
        if not self._open:
            return
        self._open = False
        for side in self._sockets:
            self._loop.remove_reader(side.fileno())
            self._loop.remove_writer(side.fileno())
            side.close()
        for way in self._ways:
            way.close()
        self._done(self)


class _Way:
    """One direction. Nothing is read while what was read before has not been written."""

    def __init__(self, connection: Connection, source: socket.socket, sink: socket.socket, carried: Carried) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._source = source
        self._sink = sink
        self._carried = carried
        self._held = memoryview(b"")
        self._pipe: tuple[int, int] | None = None
        self._in_pipe = 0
        self._over = False
        self.finished = False

    def start(self) -> None:
        self._loop.add_reader(self._source.fileno(), self._read)

    def close(self) -> None:
        if self._pipe:
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def _read(self) -> None:
        try:
            count = self._splice() if self._pipe else self._receive()
        except BlockingIOError:
            return
        except OSError:
            self._connection.close()
            return
        if count:
            self._carried.add(count)
        else:
            self._over = True
            self._loop.remove_reader(self._source.fileno())
        self._write(first=True)

    def _receive(self) -> int:
        data = self._source.recv(_CHUNK)
        self._held = memoryview(data)
        if len(data) == _CHUNK:  # bulk: from now on the kernel moves it
            with suppress(OSError):  # without descriptors for a pipe it is copied on
                self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        return len(data)

    def _splice(self) -> int:
        assert self._pipe
        count = os.splice(self._source.fileno(), self._pipe[1], _BULK, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        self._in_pipe += count
        return count

    def _write(self, *, first: bool = False) -> None:
        try:
            self._pass_on()
        except BlockingIOError:
            pass
        except OSError:
            self._connection.close()
            return
        waiting = bool(self._held or self._in_pipe)
        if waiting and first:
            self._loop.remove_reader(self._source.fileno())
            self._loop.add_writer(self._sink.fileno(), self._write)
        elif not waiting:
            if not first:
                self._loop.remove_writer(self._sink.fileno())
                if not self._over:
                    self._loop.add_reader(self._source.fileno(), self._read)
            if self._over:
                self._finish()

    def _pass_on(self) -> None:
        while self._held:
            self._held = self._held[self._sink.send(self._held) :]
        while self._in_pipe:
            assert self._pipe
            flags = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
            self._in_pipe -= os.splice(self._pipe[0], self._sink.fileno(), self._in_pipe, flags=flags)

    def _finish(self) -> None:
        self.finished = True
        with suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
        self._connection.ended()


class Listener:
    """Takes the connections of one place, and gives each to an endpoint that `choose` names; None turns it away."""

    def __init__(
        self,
        host: Host,
        listening: socket.socket,
        choose: Choose,
        failed: Callable[[Target], None],
        counted: Counted,
    ) -> None:
        self._host = host
        self._counted = counted
        self._socket = listening
        self._choose = choose
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listening.fileno(), self._accept)

    @property
    def busy(self) -> bool:
        """Whether connections are live."""
        return bool(self._connections or self._connecting)

    def stop(self) -> None:
        """Take no more connections; those that are live go on."""
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def close(self) -> None:
        """End everything."""
        if self._socket.fileno() >= 0:
            self.stop()
        for task in self._connecting:
            task.cancel()
        for connection in tuple(self._connections):
            connection.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                client, name = self._socket.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                return
            client.setblocking(False)
            task = self._loop.create_task(self._carry(client, name[0]))
            self._connecting.add(task)
            task.add_done_callback(partial(self._settled, client))

    def _rest(self, error: OSError) -> None:
        """Accept nothing for a while: who waits would be reported again at once, without an end."""
        name = self._socket.getsockname()
        log.warning("no connection can be taken at %s port %d for a while: %s", name[0], name[1], error.strerror)
        self._loop.remove_reader(self._socket.fileno())
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _settled(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if task.cancelled():  # perhaps before it ever ran, and then nobody else has closed the connection
            _reset(client)

    async def _carry(self, client: socket.socket, name: str) -> None:
        found = None
        try:
            found = await self._endpoint(parse(name))
        finally:
            if found is None:
                _reset(client)
        if found is not None:
            target, endpoint = found
            for side in (client, endpoint):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                side.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # one that has vanished ends some day
            connection = Connection(client, endpoint, self._counted(target), self._connections.discard)
            self._connections.add(connection)
            connection.start()

    async def _endpoint(self, client: Address) -> tuple[Target, socket.socket] | None:
        """Connect to an endpoint, and to another one where it does not answer."""
        for _ in range(_TRIES):
            target = self._choose(client)
            if target is None:
                return None
            family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
            try:
                made = self._host.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                log.warning("a client of %s is turned away: no socket can be opened: %s", target, error.strerror)
                return None
            made.setblocking(False)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._loop.sock_connect(made, (str(target.address), target.port))
            except (OSError, TimeoutError):
                made.close()
                self._failed(target)
                continue
            except asyncio.CancelledError:
                made.close()
                raise
            return target, made
        return None


def parse(name: str) -> Address:
    """Read a client's address; an IPv6 one may name its link."""
    return ip_address(name.partition("%")[0])


def _reset(client: socket.socket) -> None:
    """Turn a connection away: the client sees a reset, the nearest thing to a refusal after the fact."""
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
