"""Asking one upstream server: over UDP, over TCP where the answer does not fit, over TLS where that is asked for.

Over UDP every question goes out from a socket of its own, so its port is the kernel's random choice, with a random id
(RFC 5452). The socket is connected: the kernel drops what comes from elsewhere. What has another id or another question
is not the answer, and waiting goes on. What is larger than was asked for is not believed either: it may have been put
together from fragments of several senders.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from kdns import wire
from kdns.errors import Malformed, UpstreamFailed
from kdns.query import EDNS_LIMIT, Query, question_for
from kdns.scrub import scrubbed
from kdns.settings import Upstream
from kdns.streams import Streams
from kdns.wire import Answer


async def ask(streams: Streams, upstream: Upstream, query: Query, timeout: float, *, tcp: bool = False) -> Answer:
    """Ask an upstream; `timeout` is in seconds for all of it. Raises `UpstreamFailed`."""
    try:
        async with asyncio.timeout(timeout):
            answer = None if tcp or upstream.tls_name else await _over_udp(streams, upstream, query)
            if answer is None:
                answer = await streams.ask(upstream, query)
            return scrubbed(answer, query.question)
    except TimeoutError:
        raise UpstreamFailed(f"{upstream} gave no answer within {timeout:g} s") from None
    except (OSError, UpstreamFailed, Malformed) as error:
        raise UpstreamFailed(f"{upstream}: {error}") from error


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the one datagram that is the answer; None where it must be asked for over TCP."""

    def __init__(self, query: Query, ident: int, drop: Callable[[], None]) -> None:
        self._drop = drop
        self.answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._query = query
        self._ident = ident.to_bytes(2, "big")

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  # asyncio's signature
        """Take a datagram for the answer if it is one."""
        answer = self._read(data)
        if answer is None:
            self._drop()
        if answer is not None and not self.answer.done():
            whole = len(data) <= EDNS_LIMIT and not wire.is_truncated(answer)
            self.answer.set_result(answer if whole else None)

    def error_received(self, exc: Exception) -> None:
        """Give up: there is no server at that address and port."""
        if not self.answer.done():
            self.answer.set_exception(exc)

    def _read(self, data: bytes) -> Answer | None:
        if data[:2] != self._ident:
            return None
        try:
            return wire.answer_of(data, self._query.question)
        except Malformed:
            return None


async def _over_udp(streams: Streams, upstream: Upstream, query: Query) -> Answer | None:
    ident = secrets.randbelow(0x10000)
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(
        lambda: _Waiting(query, ident, streams.drop), remote_addr=(upstream.address, upstream.port)
    )
    try:
        transport.sendto(question_for(query, ident))
        return await waiting.answer
    finally:
        transport.close()
