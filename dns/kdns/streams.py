"""Connections to upstream servers, over TCP or TLS: opened when first needed, shared, and kept for a while (RFC 7766).

Questions go out as they come, each with an id that no other on its connection has, and answers may come in any order.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from kdns.errors import Malformed, UpstreamFailed
from kdns.query import Query, question_for
from kdns.settings import Upstream
from kdns.wire import Answer, answer_of

_IDLE = 10.0  # seconds that a connection without questions is kept: as long as most servers keep theirs
_PATIENCE = 5.0  # seconds that opening one may take
_MOST_OUT = 1024  # questions out on one connection; more is a server that answers none of them

_Waiting = tuple[Query, asyncio.Future[Answer]]


class Streams:
    """The connections to some upstreams, one each."""

    def __init__(self) -> None:
        self.opened: dict[Upstream, int] = {}  # connections, since the start
        self.reused: dict[Upstream, int] = {}  # questions for which there was one already
        self.dropped = 0  # replies to other questions than those that were asked, over UDP too
        self._connections: dict[Upstream, asyncio.Task[_Connection]] = {}

    async def ask(self, upstream: Upstream, query: Query) -> Answer:
        """Ask, on the connection there is or a new one; a server may have closed the old one, so a new one is tried."""
        known = self._open_one(upstream)
        if known is not None:
            self.reused[upstream] = self.reused.get(upstream, 0) + 1
            try:
                return await (await asyncio.shield(known)).ask(query)
            except OSError:
                pass
        return await (await asyncio.shield(self._connected(upstream))).ask(query)

    def close(self) -> None:
        """Close all; what is out fails."""
        for task in self._connections.values():
            if not task.done():
                task.cancel()
            elif not task.cancelled() and task.exception() is None:
                task.result().close()
        self._connections.clear()

    def drop(self) -> None:
        """Count a reply to a question that was not asked: it is remembered by nobody."""
        self.dropped += 1

    async def _connect(self, upstream: Upstream) -> _Connection:
        tls = _tls() if upstream.tls_name else None
        async with asyncio.timeout(_PATIENCE):
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self.drop),
                upstream.address,
                upstream.port,
                ssl=tls,
                server_hostname=upstream.tls_name or None,
            )
        return connection

    def _open_one(self, upstream: Upstream) -> asyncio.Task[_Connection] | None:
        """Give the connection to an upstream that can be used, or is being made."""
        task = self._connections.get(upstream)
        if task is None or not task.done():
            return task
        usable = not task.cancelled() and task.exception() is None and task.result().usable
        return task if usable else None

    def _connected(self, upstream: Upstream) -> asyncio.Task[_Connection]:
        task = self._open_one(upstream)
        if task is None:
            self.opened[upstream] = self.opened.get(upstream, 0) + 1
            task = self._connections[upstream] = asyncio.get_running_loop().create_task(self._connect(upstream))
            task.add_done_callback(_seen)  # who waited for it may have gone
        return task


class _Connection(asyncio.Protocol):
    """One connection and the questions that are out on it; `drop` is called for what answers none of them."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self._drop = drop
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._received = bytearray()
        self._end: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether one more question may go out."""
        return self._transport is not None and not self._transport.is_closing() and len(self._waiting) < _MOST_OUT

    async def ask(self, query: Query) -> Answer:
        """Send a question and wait for its answer. Raises OSError where the connection ends before."""
        if self._transport is None or not self.usable:
            raise ConnectionResetError("the connection was closed")
        ident = self._unused()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = query, answer
        if self._end is not None:
            self._end.cancel()
        message = question_for(query, ident)
        self._transport.write(len(message).to_bytes(2, "big") + message)
        try:
            return await answer
        finally:
            self._waiting.pop(ident, None)
            if not self._waiting:
                self._end = asyncio.get_running_loop().call_later(_IDLE, self.close)

    def close(self) -> None:
        """Close the connection; what is out fails."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`: nobody will be answered any more."""
        for _, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(exc or ConnectionResetError("the server closed the connection"))
        if self._end is not None:
            self._end.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what has arrived; a message may come in pieces, and several at once."""
        self._received += data
        at = 0
        while len(self._received) >= at + 2:
            end = at + 2 + int.from_bytes(self._received[at : at + 2], "big")
            if len(self._received) < end:
                break
            self._take(bytes(self._received[at + 2 : end]))
            at = end
        del self._received[:at]

    def _take(self, message: bytes) -> None:
        """Give an answer to who waits for it. A message that answers no question that is out is nobody's."""
        waiting = self._waiting.get(int.from_bytes(message[:2], "big")) if len(message) >= 2 else None
        if waiting is None:
            self._drop()
            return
        query, future = waiting
        try:
            answer = answer_of(message, query.question)
        except Malformed:
            answer = None
        if answer is None:
            self._drop()
        if not future.done():
            if answer is not None:
                future.set_result(answer)
            else:
                future.set_exception(UpstreamFailed("it answered another question over TCP"))

    def _unused(self) -> int:
        while (ident := secrets.randbelow(0x10000)) in self._waiting:
            pass
        return ident


def _seen(task: asyncio.Task[_Connection]) -> None:
    if not task.cancelled():
        task.exception()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Trust whom the system trusts; $SSL_CERT_FILE names others."""
    return ssl.create_default_context()
