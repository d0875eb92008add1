"""A client's connection, over HTTP/1.0 or 1.1: requests in the order they come, one exchange at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from kingress.exchange import Exchange, Relay, Upstream
from kingress.h1.requests import RequestReader
from kingress.h1.writer import CONTINUE, chunk, last_chunk, response_head, response_wire, switching_head
from kingress.message import END, UNKNOWN, Header, Refused, Request, Response

if TYPE_CHECKING:
    from kingress.forwarded import Forwarding
    from kingress.gateway import Gateway


class ClientConnection(asyncio.Protocol):
    """See `kingress.exchange.Client` for what an exchange asks of it."""

    __slots__ = (
        *("_advancing", "_backlogged", "_blocked", "_chunked", "_events", "_exchange", "_gateway", "_half_closed"),
        *("_held", "_lingering", "_out", "_paused", "_port", "_quiet", "_reader", "_scheme", "_served", "_trailers"),
        *("_transport", "_tunnel", "_tunnelled", "_waited", "forwarding", "peer"),
    )
    forwarding: Forwarding
    _transport: asyncio.Transport

    def __init__(self, gateway: Gateway, scheme: str, port: int, client: str = "") -> None:
        """Make one; `client` is its address where that is not the peer's, because a load balancer passes it on."""
        settings = gateway.settings
        self.peer = client
        self._gateway = gateway
        self._scheme = scheme
        self._port = port
        self._reader = RequestReader(settings.head_limit, settings.headers_limit, settings.target_limit, gateway.plain)
        self._events: deque[Any] = deque()  # read and not yet dealt with
        self._out: list[bytes] = []
        self._exchange: Exchange | None = None
        self._tunnel: Relay | None = None
        self._tunnelled: Exchange | None = None
        self._quiet = 0  # ticks since something happened
        self._waited = 0  # ticks in which the body of a request was waited for
        self._chunked = False
        self._trailers: Sequence[Header] = ()  # to follow the body of the response
        self._served = False  # a request has been answered
        self._advancing = False
        self._lingering = False  # all is said: what still comes is read and forgotten
        self._half_closed = False  # the client will send no more
        self._held = False  # the exchange can take no more of the body
        self._backlogged = False  # a request waits for the one before it
        self._paused = False  # reading, for one of these two reasons
        self._blocked = False  # writing

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = self.peer or (name[0].removeprefix("::ffff:") if name else "")
        gateway = self._gateway
        self.forwarding = gateway.forwarding(self.peer, self._scheme, self._port)
        settings, clients = gateway.settings, gateway.clients
        clients.add(self)
        own = gateway.crowd.admit(self.peer) if settings.client_connections else 0
        if gateway.crowd.note(len(clients)) > settings.connections:
            self._refuse(Refused(503, "too many connections are open"))
        elif own > settings.client_connections:
            self._refuse(Refused(429, "too many connections of this client are open"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio calls it so
        """See `asyncio.BaseProtocol`."""
        gateway = self._gateway
        gateway.clients.discard(self)
        gateway.crowd.note(len(gateway.clients))
        if gateway.settings.client_connections:
            gateway.crowd.dismiss(self.peer)
        self._events.clear()
        self._out.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()
        if self._tunnel is not None:
            self._tunnel.close()
        if self._tunnelled is not None:
            self._gateway.tunnelled(self._tunnelled)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._tunnel is not None:
            self._tunnel.relay(data)
            return
        if self._lingering:
            return
        reader = self._reader
        if self._exchange is None and not self._events and not self._blocked:
            request = reader.known(data)
            if request is not None:
                self._quiet = 0
                self._exchange = exchange = Exchange(self._gateway, self, request, ended=True)
                exchange.start()
                return
        begins = not reader.in_message
        self._events.extend(reader.feed(data))
        if begins or not reader.in_head:
            self._quiet = 0
        self._advance()

    def eof_received(self) -> bool:
        """See `asyncio.Protocol`. A client that will send no more may still wait for what it has asked."""
        if self._tunnel is not None or self._lingering or self._exchange is None:
            return False
        if not self._exchange.request_ended and END not in self._events:
            return False
        self._half_closed = True
        self._quiet = 0
        return True

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._blocked = True
        self._quiet = 0
        if self._tunnel is not None:
            self._tunnel.pause()
        elif self._exchange is not None:
            self._exchange.client_blocked()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._blocked = False
        self._quiet = 0
        if self._tunnel is not None:
            self._tunnel.resume()
        elif self._exchange is not None:
            self._exchange.client_ready()
        else:
            self._advance()

    # Requests, in order.

    def _advance(self) -> None:
        """Deal with what has been read, up to a request that must wait for the response before it."""
        if self._advancing:
            return
        self._advancing = True
        events = self._events
        while events and not self._lingering:
            if self._exchange is not None:
                if not self._take_body():
                    break
            elif self._blocked:
                break
            else:
                self._begin(events.popleft())
        self._advancing = False
        self._backlogged = bool(events) or self._reader.holds_enough
        if self._exchange is not None:
            self._exchange.flush()
        if self._backlogged or self._paused:
            self._update_reading()

    def _begin(self, event: Any) -> None:
        if type(event) is not Request:
            if type(event) is Refused:
                self._refuse(event)
            return
        self._exchange = exchange = Exchange(self._gateway, self, event)
        self._waited = 0
        self._take_body()  # what is here already need not be sent apart from the head
        if self._exchange is exchange:  # its body may be bad
            exchange.start()

    def _take_body(self) -> bool:
        """Hand what has come of the body to the exchange; gives False where the next thing is another request."""
        events, exchange = self._events, self._exchange
        assert exchange is not None
        while events:
            event = events[0]
            refused = type(event) is Refused
            if type(event) is not bytes and event is not END and not (refused and not exchange.request_ended):
                return False
            events.popleft()
            if refused:
                exchange.broken(event)
            elif event is END:
                exchange.end()
            else:
                exchange.body(event)
            if self._exchange is not exchange:
                return True
        return True

    def _refuse(self, refusal: Refused) -> None:
        """Answer something that is no request, and end the connection."""
        unread = Request("-", b"-", "-", b"", "", [])
        unread.length = UNKNOWN
        self._exchange = exchange = Exchange(self._gateway, self, unread)
        exchange.refuse(refusal)

    # What an exchange calls.

    def send_response(self, response: Response) -> None:
        """See `Client.send_response`."""
        assert self._exchange is not None
        request = self._exchange.request
        old = request.version == "1.0"
        length: int | None = response.length
        self._chunked = False
        if request.method == "HEAD" or response.status in (204, 304):
            length = response.declared if response.declared != UNKNOWN and response.status != 204 else None
        elif length == UNKNOWN:
            self._chunked = not old
            self._exchange.last = self._exchange.last or old
        last = self._exchange.last = self._is_last(self._exchange)
        headers = response.headers if response.dated else [*response.headers, (b"Date", self._gateway.date)]
        self._out.append(response_head(response.status, response.reason, headers, length=length, last=last, old=old))

    def _is_last(self, exchange: Exchange) -> bool:
        """Whether the connection ends with an exchange."""
        return exchange.last or exchange.request.last or (self._gateway.draining and not self._events)

    def send_whole(self, response: Response, body: bytes) -> None:
        """See `Client.send_whole`."""
        exchange = self._exchange
        assert exchange is not None
        request = exchange.request
        if request.upgrade or request.version != "1.1" or self._half_closed:
            self.send_response(response)
            self.send_body(body)
            self.send_end()
            self.flush()
            return
        self._exchange = None
        self._quiet = 0
        self._served = True
        self._held = False
        last = exchange.last or request.last or (self._gateway.draining and not self._events)
        wire = response.wire
        if last or not wire or not response.dated:
            wire = response_wire(response, self._gateway.date, last=last)
        if self._out:
            self._out.append(wire + body)
            self.flush()
        else:
            self._transport.write(wire + body)
        if last:
            self._finish(complete=True)
        elif self._events or self._paused:
            self._advance()

    def send_body(self, data: bytes) -> None:
        """See `Client.send_body`."""
        if self._chunked:
            self._out += chunk(data)
        else:
            self._out.append(data)

    def send_trailers(self, headers: list[Header]) -> None:
        """See `Client.send_trailers`."""
        if self._chunked:
            self._trailers = headers

    def send_end(self) -> None:
        """See `Client.send_end`."""
        if self._chunked:
            self._out.append(last_chunk(self._trailers))
            self._trailers = ()
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self._quiet = 0
        self._served = True
        self._held = False
        if exchange.request.upgrade:
            self._events.extend(self._reader.resume())
        if exchange.last or exchange.request.last or (self._half_closed and not self._events):
            self._finish(complete=exchange.request_ended)
        elif self._events or self._paused:
            self._advance()

    def send_informational(self, response: Response) -> None:
        """See `Client.send_informational`. HTTP/1.0 knows no such thing."""
        if self._exchange is not None and self._exchange.request.version == "1.1":
            head = response_head(response.status, response.reason, response.headers, length=None, last=False, old=False)
            self._out.append(head)

    def send_continue(self) -> None:
        """See `Client.send_continue`. It comes after what is not sent yet of the response before."""
        self._out.append(CONTINUE)
        self.flush()

    def switch(self, response: Response, upstream: Upstream, first: bytes) -> None:
        """See `Client.switch`."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self._tunnel, self._tunnelled = upstream, exchange
        self._out += (switching_head(response.reason, response.headers, exchange.request.upgrade), first)
        upstream.tunnel(self, self._reader.held())
        self._backlogged = False
        self._update_reading()

    def abort(self) -> None:
        """See `Client.abort`."""
        self.flush()
        self._exchange = None
        self._transport.abort()

    def flush(self) -> None:
        """See `Client.flush`."""
        out = self._out
        if out:
            self._out = []
            self._quiet = 0
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def pause(self) -> None:
        """See `Client.pause`."""
        self._held = True
        self._update_reading()

    def resume(self) -> None:
        """See `Client.resume`."""
        self._held = False
        self._quiet = 0
        self._update_reading()

    # After a change of protocol.

    def relay(self, data: bytes) -> None:
        """See `Relay.relay`."""
        self._transport.write(data)

    # Housekeeping.

    def tick(self) -> None:
        """Let time pass."""
        self._quiet += 1
        settings = self._gateway.settings
        quiet = self._quiet * settings.tick
        exchange = self._exchange
        if self._tunnel is not None:
            return
        if self._lingering:
            if quiet > settings.linger:
                self._transport.abort()
        elif self._blocked:
            if quiet > settings.send_timeout:
                self._transport.abort()
        elif exchange is None:
            self._tick_idle(quiet)
        elif self._half_closed and quiet > settings.linger:
            self._transport.abort()  # it may still read, but most who hang up are gone, and nothing is on its way
        elif not exchange.request_ended and not self._paused:
            self._tick_body(exchange, quiet)

    def _tick_body(self, exchange: Exchange, quiet: float) -> None:
        """Wait for the body of a request, but not for one that comes drop by drop before any answer has begun."""
        settings = self._gateway.settings
        self._waited += 1
        waited = self._waited * settings.tick
        slow = waited > settings.body_timeout and exchange.taken < settings.body_rate * waited
        if quiet > settings.body_timeout or (slow and not exchange.status):
            exchange.late()

    def _tick_idle(self, quiet: float) -> None:
        settings = self._gateway.settings
        if self._reader.in_head:
            if quiet > settings.head_timeout:
                self._refuse(Refused(408, f"its head was not complete after {settings.head_timeout:g} s"))
        elif quiet > self._patience():
            self._transport.close()

    def _patience(self) -> float:
        """How long a connection may be idle."""
        settings = self._gateway.settings
        if self._gateway.draining:
            return settings.linger
        return settings.keep_alive if self._served else settings.head_timeout

    def drain(self) -> None:
        """Take no further request: an idle connection ends now, another one after the response it is waiting for.

        One that has not asked anything yet was made for a request that is on its way: it may ask once.
        """
        if (
            self._served
            and self._exchange is None
            and self._tunnel is None
            and not self._events
            and not self._reader.in_message
        ):
            self._transport.close()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def cut(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def _finish(self, *, complete: bool) -> None:
        """End the connection. Where the client may still be sending, it is heard out so that it sees the answer."""
        self.flush()
        self._events.clear()
        if complete or self._half_closed or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._lingering = True
        self._held = False
        self._update_reading()
        self._transport.write_eof()

    def _update_reading(self) -> None:
        pause = self._held or (self._backlogged and not self._lingering)
        if pause is self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
