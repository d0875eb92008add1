"""Asking one upstream server: over UDP, over TCP where the answer does not fit, over TLS where that is asked for.

Every question goes out from a socket of its own, so its port is the kernel's random choice, with a random id (RFC
5452). The socket is connected: the kernel drops what comes from elsewhere. What has another id or another question
is not the answer, and waiting goes on.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from functools import lru_cache

from kdns import wire
from kdns.errors import Malformed, UpstreamFailed
from kdns.query import Query, question_for
from kdns.settings import Upstream
from kdns.wire import Answer


async def ask(upstream: Upstream, query: Query, timeout: float, *, tcp: bool = False) -> Answer:
    """Ask an upstream; `timeout` is in seconds for all of it. Raises `UpstreamFailed`."""
    try:
        async with asyncio.timeout(timeout):
            if tcp or upstream.tls_name:
                return await _over_stream(upstream, query)
            answer = await _over_udp(upstream, query)
            return await _over_stream(upstream, query) if wire.is_truncated(answer) else answer
    except TimeoutError:
        raise UpstreamFailed(f"{upstream} gave no answer within {timeout:g} s") from None
    except (OSError, asyncio.IncompleteReadError) as error:
        raise UpstreamFailed(f"{upstream}: {error}") from error


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the one datagram that is the answer."""

    def __init__(self, query: Query, ident: int) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._query = query
        self._ident = ident

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  # asyncio's signature
        """Take a datagram for the answer if it is one."""
        answer = _read(data, self._query, self._ident)
        if answer is not None and not self.answer.done():
            self.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        """Give up: there is no server at that address and port."""
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _over_udp(upstream: Upstream, query: Query) -> Answer:
    ident = secrets.randbelow(0x10000)
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(
        lambda: _Waiting(query, ident), remote_addr=(upstream.address, upstream.port)
    )
    try:
        transport.sendto(question_for(query, ident))
        return await waiting.answer
    finally:
        transport.close()


async def _over_stream(upstream: Upstream, query: Query) -> Answer:
    ident = secrets.randbelow(0x10000)
    tls = _tls() if upstream.tls_name else None
    name = upstream.tls_name or None
    reader, writer = await asyncio.open_connection(upstream.address, upstream.port, ssl=tls, server_hostname=name)
    try:
        message = question_for(query, ident)
        writer.write(len(message).to_bytes(2, "big") + message)
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = _read(await reader.readexactly(size), query, ident)
    finally:
        writer.close()
    if answer is None:
        raise UpstreamFailed(f"{upstream} answered another question over TCP")
    return answer


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Trust whom the system trusts; $SSL_CERT_FILE names others."""
    return ssl.create_default_context()


def _read(data: bytes, query: Query, ident: int) -> Answer | None:
    if data[:2] != ident.to_bytes(2, "big"):
        return None
    try:
        return wire.answer_of(data, query.question)
    except Malformed:
        return None
