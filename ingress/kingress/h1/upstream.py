"""A connection to an endpoint, over HTTP/1.1: carries one exchange at a time, and idles in its peer's pool between."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

from kingress.h1.responses import ResponseReader
from kingress.h1.writer import LAST_CHUNK, chunk, request_head
from kingress.message import REPEATABLE, UNKNOWN, BadResponse, Response
from kingress.settings import Settings

if TYPE_CHECKING:
    from kingress.balance import Peer
    from kingress.exchange import Exchange, Relay


_ACKED_AT = 120  # of tcpi_bytes_acked in struct tcp_info (linux/tcp.h; since Linux 4.1)


class UpstreamConnection(asyncio.Protocol):
    """See `kingress.exchange.Upstream` for what an exchange asks of it."""

    __slots__ = (
        "_acknowledged",
        "_all",
        "_blocked",
        "_chunked",
        "_exchange",
        "_most",
        "_out",
        "_paused",
        "_reader",
        "_settings",
        "_transport",
        "_tunnel",
        "peer",
        "quiet",
        "reused",
    )

    def __init__(
        self, peer: Peer, settings: Settings, everyone: set[UpstreamConnection], heads: dict[bytes, Response]
    ) -> None:
        self.peer = peer
        self.reused = False
        self.quiet = 0  # ticks since something happened
        self._settings = settings
        self._most = settings.upstream_idle_most
        self._all = everyone
        self._reader = ResponseReader(heads=heads)
        self._transport: asyncio.Transport = cast(Any, None)
        self._exchange: Exchange | None = None
        self._tunnel: Relay | None = None
        self._out: list[bytes] = []
        self._chunked = False
        self._acknowledged = -1  # bytes that the endpoint's kernel had taken before a request that must not be repeated
        self._paused = False  # reading
        self._blocked = False  # writing

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._all.discard(self)
        if self in self.peer.idle:
            self.peer.idle.remove(self)
        if self._tunnel is not None:
            self.peer.active -= 1
            self._tunnel.close()
        exchange = self._exchange
        if exchange is None:
            return
        if exc is None and self._reader.finish():
            exchange.received_end()
        else:
            exchange.lost(str(exc) if exc else "the connection was closed")

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.quiet = 0
        exchange = self._exchange
        if exchange is None:
            if self._tunnel is not None:
                self._tunnel.relay(data)
            else:
                self.close()  # a response that nobody asked for
            return
        whole = self._reader.known(data)
        if whole is not None:
            exchange.received_whole(*whole)
            return
        try:
            events = self._reader.feed(data)
        except BadResponse as error:
            exchange.lost(f"its response cannot be trusted: {error}")
            return
        exchange.received(events)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._blocked = True
        self.quiet = 0
        if self._tunnel is not None:
            self._tunnel.pause()
        elif self._exchange is not None:
            self._exchange.upstream_blocked()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._blocked = False
        if self._tunnel is not None:
            self._tunnel.resume()
        elif self._exchange is not None:
            self._exchange.upstream_ready()

    # What an exchange calls.

    def send_whole(self, exchange: Exchange) -> None:
        """See `Upstream.send_whole`."""
        self._transport.write(self._head(exchange))

    def send_request(self, exchange: Exchange) -> None:
        """See `Upstream.send_request`."""
        self._out.append(self._head(exchange))

    def _head(self, exchange: Exchange) -> bytes:
        """Turn to an exchange; gives what is to be written first."""
        self._exchange = exchange
        self.quiet = 0
        request = exchange.request
        self._reader.expect(request.method)
        self._chunked = request.length == UNKNOWN
        if self.reused and request.method not in REPEATABLE:
            self._acknowledged = self._taken()
        return request_head(request, exchange.client.forwarding, exchange.forwarded, exchange.request_id)

    def send_body(self, data: bytes) -> None:
        """See `Upstream.send_body`."""
        if self._chunked:
            self._out += chunk(data)
        else:
            self._out.append(data)

    def send_end(self) -> None:
        """See `Upstream.send_end`."""
        if self._chunked:
            self._out.append(LAST_CHUNK)

    def flush(self) -> None:
        """See `Upstream.flush`."""
        out = self._out
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            self._out = []

    def stale(self) -> bool:
        """Whether the endpoint has hung up, or sent something, that the event loop has not come to yet."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    def unheard(self) -> bool:
        """Whether the endpoint's kernel has taken no byte of the request: then nobody has acted on it.

        So it is where the endpoint hung up on an idle connection while the request was on its way.
        """
        return self._acknowledged >= 0 and self._taken() == self._acknowledged

    def _taken(self) -> int:
        """Give how many bytes the endpoint's kernel has acknowledged; a connection that was reset still knows."""
        try:
            told = self._transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AT + 8
            )
        except OSError:
            return -1
        return int(struct.unpack_from("=Q", told, _ACKED_AT)[0]) if len(told) == _ACKED_AT + 8 else -1

    def release(self, *, complete: bool) -> None:
        """See `Upstream.release`."""
        self._exchange = None
        self._acknowledged = -1
        peer = self.peer
        peer.active -= 1
        self.quiet = 0
        reader = self._reader
        if (
            complete
            and reader.reusable
            and not reader.in_message
            and not self._blocked
            and not peer.gone
            and len(peer.idle) < self._most
            and not self._transport.is_closing()
        ):
            if self._paused:
                self.resume()
            self.reused = True
            peer.idle.append(self)
        else:
            self.close()

    def rest(self) -> None:
        """See `Upstream.rest`. The head of the response was known, so the connection may be used again."""
        peer = self.peer
        peer.failures = 0
        idle = peer.idle
        if self._paused or self._blocked or peer.gone or len(idle) >= self._most or self._transport.is_closing():
            self.release(complete=True)
            return
        self._exchange = None
        self._acknowledged = -1
        peer.active -= 1
        self.reused = True
        idle.append(self)

    def pause(self) -> None:
        """See `Upstream.pause`."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Upstream.resume`."""
        if self._paused:
            self._paused = False
            self.quiet = 0
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # After a change of protocol.

    def tunnel(self, client: Relay, first: bytes) -> None:
        """From now on, what comes goes to the client as it is; `first` came from it already."""
        self._exchange = None
        self._tunnel = client
        if first:
            self.relay(first)

    def relay(self, data: bytes) -> None:
        """Send bytes of another protocol."""
        self._transport.write(data)

    # Housekeeping.

    def tick(self) -> None:
        """Let time pass."""
        self.quiet += 1
        settings = self._settings
        quiet = self.quiet * settings.tick
        exchange = self._exchange
        if exchange is not None:
            waiting = exchange.request_ended and not self._paused
            if self._blocked and quiet > (limit := exchange.send_timeout or settings.send_timeout):
                exchange.lost(f"it took nothing for {limit:g} s", late=True)
            elif waiting and quiet > (limit := exchange.read_timeout or settings.response_timeout):
                exchange.lost(f"nothing came for {limit:g} s", late=True)
        elif self._tunnel is None:
            told = self._reader.keep_alive
            limit = min(settings.upstream_idle, max(told - 1.0, 0.5)) if told else settings.upstream_idle
            if quiet > limit:
                self.close()

    def close(self) -> None:
        """Hang up."""
        if self in self.peer.idle:
            self.peer.idle.remove(self)
        if self._exchange is None and self._tunnel is None:
            self._transport.abort()
        else:
            self._transport.close()
