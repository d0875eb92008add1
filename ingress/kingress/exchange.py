"""One request and its response: finds the route, chooses an endpoint, tries another where that is safe, streams.

Knows nothing of HTTP versions: `Client` is the side that asked, `Upstream` a connection to an endpoint. Bodies go
through as they come; each side is stopped while the other cannot take more.

Another endpoint is tried only while the client has been sent nothing: after a connection that could not be made, and
after one that ended before the first byte of a response, where the method may be repeated (RFC 9110 9.2.2) or the
kernel knows that the endpoint took no byte of the request, provided that the request's body is still at hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from kingress.message import END, REPEATABLE, Header, Refused, Request, Response, Trailers
from kingress.pages import page, reason
from kingress.steps import Asked, change, cookie, finish, hash_key, is_canary, judge, sticky_cookie

if TYPE_CHECKING:
    from kingress.balance import Peer
    from kingress.forwarded import Forwarding
    from kingress.gateway import Gateway
    from kingress.match import Route
    from kingress.policy import Policy
    from kingress.pool import Backend


class Relay(Protocol):
    """One end of a tunnel: bytes of another protocol, as they come."""

    def relay(self, data: bytes) -> None:
        """Send bytes."""

    def pause(self) -> None:
        """Read no more."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Hang up, after what was relayed."""


class Client(Relay, Protocol):
    """The side that asked. What is sent may wait until `flush`."""

    peer: str
    forwarding: Forwarding

    def send_response(self, response: Response) -> None:
        """Send the head of a response; its body follows."""

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body."""

    def send_trailers(self, headers: list[Header]) -> None:
        """Say something after the body, where the protocol has a place for it."""

    def send_end(self) -> None:
        """The response is complete."""

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response of known length with its whole body, at once."""

    def send_informational(self, response: Response) -> None:
        """Send a 1xx head."""

    def send_continue(self) -> None:
        """Tell a client that waits for it to send the body."""

    def switch(self, response: Response, upstream: Upstream, first: bytes) -> None:
        """Leave HTTP: from now on bytes go to and from `upstream` as they come, beginning with `first`."""

    def abort(self) -> None:
        """Cut the response short, visibly."""

    def flush(self) -> None:
        """Let go of what waits."""


class Upstream(Relay, Protocol):
    """A connection to an endpoint, carrying one exchange."""

    reused: bool
    peer: Peer

    def send_whole(self, exchange: Exchange) -> None:
        """Send the exchange's request, which has no body, at once."""

    def send_request(self, exchange: Exchange) -> None:
        """Send the head of the exchange's request."""

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body."""

    def send_end(self) -> None:
        """The request is complete."""

    def flush(self) -> None:
        """Let go of what waits."""

    def unheard(self) -> bool:
        """Whether it is certain that nobody has read the request."""

    def release(self, *, complete: bool) -> None:
        """The exchange is over; `complete`: both messages ended, so another may follow."""

    def rest(self) -> None:
        """The exchange is over, and all of both messages has come and is gone."""

    def tunnel(self, client: Relay, first: bytes) -> None:
        """Leave HTTP: from now on bytes go to and from `client` as they come, beginning with `first`."""


class Exchange:
    """A request on its way to an endpoint, and the response on its way back."""

    __slots__ = (
        *("_gateway", "_key", "_over", "_paused", "_policy", "_replay", "_sticky", "_tried", "attempts", "backend"),
        *("client", "forwarded", "last", "peer", "request", "request_ended", "request_id", "route", "sent", "started"),
        *("status", "taken", "upstream"),
    )

    def __init__(self, gateway: Gateway, client: Client, request: Request, *, ended: bool = False) -> None:
        self._gateway = gateway
        self.client = client
        self.request = request
        self.started = gateway.now()
        self.request_ended = ended  # the whole request has come
        self.route: Route | None = None
        self.backend: Backend | None = None
        self.peer: Peer | None = None  # the endpoint chosen last
        self.upstream: Upstream | None = None
        self.request_id = b""
        self.forwarded: list[Header] | None = None  # what the upstream is told of the client, where it is not the usual
        self.last = False  # no further request follows on the client's connection
        self.status = 0  # of the response, once its head is sent
        self.sent = 0  # bytes of its body
        self.taken = 0  # bytes of the request's body that have come
        self.attempts = 0  # endpoints that were tried
        self._tried: tuple[Peer, ...] = ()
        self._replay: tuple[()] | list[bytes] | None = ()  # the body so far, while it may have to be sent again
        self._paused = False  # the client waits until the body kept can be sent
        self._over = False
        self._policy: Policy | None = None  # of the route, where it has one
        self._key = b""  # that the endpoint is chosen by
        self._sticky = b""  # the endpoint that the client's cookie names

    @property
    def read_timeout(self) -> float:
        """Seconds that the policy allows between two pieces of the response; 0 is the default of the settings."""
        return self._policy.read_timeout if self._policy is not None else 0.0

    @property
    def send_timeout(self) -> float:
        """Seconds that the policy allows an endpoint to take nothing; 0 is the default of the settings."""
        return self._policy.send_timeout if self._policy is not None else 0.0

    @property
    def _limit(self) -> int:
        """Bytes that the policy allows the request's body; 0 is any number."""
        return self._policy.body_limit if self._policy is not None else 0

    # From the client's side.

    def start(self) -> None:
        """Find the route and the first endpoint. For a head that is remembered, so is where it goes."""
        request, gateway = self.request, self._gateway
        table = gateway.table
        self.request_id = gateway.new_id()
        if request.told:
            self._tell()
        way = request.way
        if way is not None and way[0] == table.version:
            _, self.route, self.backend = way
            self._next()
            return
        self.route = route = table.find(request.host, request.path)
        if route is None:
            self.answer(404, f"No Ingress has a rule for host {request.host!r} and path {request.path!r}.")
            return
        if route.policy is not None or route.canaries:
            route = self._special(route)
            if self._over:
                return
            self.backend = gateway.upstreams.backend(route.target)
        else:
            self.backend = gateway.upstreams.backend(route.target)
            request.way = (table.version, route, self.backend)
        self._next()

    def body(self, data: bytes) -> None:
        """A piece of the request's body has come."""
        if self._over:
            return
        self.taken += len(data)
        if 0 < self._limit < self.taken:
            self.broken(self._too_large())
            return
        if self._replay is not None:
            self._keep(data)
        if self.upstream is not None:
            self.upstream.send_body(data)

    def end(self) -> None:
        """The request is complete."""
        self.request_ended = True
        if self.upstream is not None and not self._over:
            self.upstream.send_end()

    def broken(self, refusal: Refused) -> None:
        """The body of the request is not what it should be."""
        if self.status:
            self.client.abort()
            self._finish(complete=False)
        else:
            self._over_with_upstream()
            self.refuse(refusal)

    def flush(self) -> None:
        """Let go of what waits to be sent to the upstream."""
        if self.upstream is not None:
            self.upstream.flush()

    def late(self) -> None:
        """The client has sent nothing of the body for too long, or too little."""
        if self.status:
            self.client.abort()
            self._finish(complete=False)
        else:
            self._over_with_upstream()
            self.answer(408, "The body of the request came too slowly.")

    def cancel(self) -> None:
        """The client is gone."""
        if not self._over:
            self.status = self.status or 499
            self._finish(complete=False)

    def client_blocked(self) -> None:
        """The client takes no more of the response for now."""
        if self.upstream is not None:
            self.upstream.pause()

    def client_ready(self) -> None:
        """The client takes more again."""
        if self.upstream is not None:
            self.upstream.resume()

    # From the upstream's side.

    def connected(self, upstream: Upstream) -> None:
        """A connection to the chosen endpoint is there."""
        if self._over:
            upstream.release(complete=True)
            return
        self.upstream = upstream
        if self.request_ended and not self.request.length:
            upstream.send_whole(self)
            return
        upstream.send_request(self)
        for data in self._replay or ():
            upstream.send_body(data)
        if self.request_ended:
            upstream.send_end()
        elif self.request.expects_continue:
            self.request.expects_continue = False  # never of a shared request: this one has a body
            self.client.send_continue()
        upstream.flush()
        if self._paused:
            self._paused = False
            self._replay = None
            self.client.resume()

    def unreachable(self, peer: Peer, why: str, *, late: bool) -> None:
        """No connection to an endpoint could be made; `late`: it took too long."""
        self._gateway.failed(self)
        self._blame(peer)
        self._tried += (peer,)
        if not self._over:
            self._next(504 if late else 502, f"{peer} cannot be reached: {why}.")

    def received(self, events: list[Any]) -> None:
        """Parts of the response have come."""
        for event in events:
            if self._over:
                break
            if type(event) is bytes:
                if self.status:
                    self.sent += len(event)
                    self.client.send_body(event)
            elif event is END:
                self._finish(complete=True)
            elif type(event) is Trailers:
                if self.request.trailers:
                    self.client.send_trailers(event.headers)
            else:
                self._respond(event, events)
        self.client.flush()

    def received_whole(self, response: Response, body: bytes) -> None:
        """The response has come, complete and with a body of known length: what most exchanges end with."""
        if self._over or self._policy is not None or self._replay or not self.request_ended:
            self.received([response, body, END])
            return
        self._over = True
        self.status, self.sent = response.status, len(body)
        upstream, self.upstream = self.upstream, None
        assert upstream is not None
        upstream.rest()
        self.client.send_whole(response, body)
        self._gateway.finished(self)

    def received_end(self) -> None:
        """The upstream connection ended, and that is how the response ends."""
        self.received([END])

    def lost(self, why: str, *, late: bool = False) -> None:
        """The upstream connection ended, or is unusable, before the response was complete."""
        if self._over:
            return
        self._gateway.failed(self)
        again = not late and self._may_be_sent_again()
        upstream = self._over_with_upstream()
        if upstream is not None and not upstream.reused:
            self._blame(upstream.peer)
        if self.status:
            self.client.abort()
            self._finish(complete=False)
        elif again:
            if upstream is not None and not upstream.reused:
                self._tried += (upstream.peer,)
            self._next(502, f"{self.peer} gave no response: {why}.")
        else:
            self.answer(504 if late else 502, f"{self.peer} gave no response: {why}.")

    def upstream_blocked(self) -> None:
        """The upstream takes no more of the request for now."""
        self.client.pause()

    def upstream_ready(self) -> None:
        """The upstream takes more again."""
        self.client.resume()

    # The rest is within.

    def answer(self, status: int, why: str, also: tuple[Header, ...] = ()) -> None:
        """Answer in the ingress' own name, perhaps with further headers."""
        headers, body = page(status, why)
        headers += also
        if not self.request_ended:
            self.last = True
        self.status = status
        head = self.request.method == "HEAD"
        self.client.send_response(Response(status, reason(status), headers, 0 if head else len(body), len(body)))
        if not head:
            self.sent = len(body)
            self.client.send_body(body)
        self._finish(complete=True)
        self.client.flush()

    def refuse(self, refusal: Refused) -> None:
        """Answer what is not even a request; the connection ends with it."""
        self.last = True
        self.answer(refusal.status, f"The request was refused: {refusal.why}.")

    def _next(self, status: int = 503, why: str = "") -> None:
        """Try the next endpoint; where there is none, answer with `status`, or what the backend lacks."""
        backend = self.backend
        assert backend is not None
        peer = backend.peer(self._sticky) if self._sticky and not self.attempts else None
        if peer is None and self.attempts < self._gateway.settings.attempts:
            peer = backend.choose(self._tried, self._key)
        if peer is None:
            self.answer(status, why or f"{backend.reason}\n({self.route})")
            return
        self.attempts += 1
        self.peer = peer
        self._gateway.upstreams.connect(backend, peer, self)

    def _tell(self) -> list[Header]:
        """Settle what the upstream is told of the client."""
        self.forwarded = told = self.client.forwarding.headers(self.request, self.request_id)
        self.request_id = told[-1][1]
        return told

    def _special(self, route: Route) -> Route:
        """Do what the Ingress asks for beyond its rules; gives the route to go on with, if the exchange is not over."""
        self.request = request = self.request.again()
        policy = route.policy
        said = {name.lower(): value for name, value in self.forwarded or self._tell()}
        client = said[b"x-real-ip"].decode("latin-1")
        asked = Asked(request, client, said[b"x-forwarded-proto"].lower(), secure=self.client.forwarding.secure)
        if policy is not None and policy.sticky:
            self._sticky = cookie(request, policy.sticky_name)
        self.route = chosen = self._canary(route) if route.canaries else route
        if policy is None:
            return chosen
        self._policy = policy
        reply = judge(policy, asked)
        if reply is not None:
            self.answer(reply.status, reply.why, reply.headers)
        elif 0 < self._limit < self.taken:
            self.refuse(self._too_large())
        else:
            self._key = hash_key(policy, asked) if policy.hash_by else b""
            change(policy, route, request)
        return chosen

    def _canary(self, route: Route) -> Route:
        """Give the canary that takes the request, or its own route. Who has a sticky cookie stays, unless it asks."""
        request, gateway = self.request, self._gateway
        if self._sticky and not any(each.policy and is_canary(each.policy, request, 1.0) for each in route.canaries):
            for each in (route, *route.canaries):
                if gateway.upstreams.backend(each.target).peer(self._sticky) is not None:
                    return each
        taken = (each for each in route.canaries if each.policy and is_canary(each.policy, request, gateway.draw()))
        return next(taken, route)

    def _may_be_sent_again(self) -> bool:
        """Whether nothing can be done twice by it: the method may be repeated, or nobody has read the request."""
        if self._replay is None or self.request.upgrade:
            return False
        return self.request.method in REPEATABLE or (self.upstream is not None and self.upstream.unheard())

    def _too_large(self) -> Refused:
        return Refused(413, f"its body has over {self._limit} bytes")

    def _blame(self, peer: Peer) -> None:
        if self.backend is not None:
            self._gateway.upstreams.failed(self.backend, peer)

    def _keep(self, data: bytes) -> None:
        """Keep a piece of the body in case it must be sent again, while there is not too much of it."""
        if isinstance(self._replay, list):
            self._replay.append(data)
        else:
            self._replay = [data]
        if self.taken <= self._gateway.settings.replay_limit:
            return
        if self.upstream is None:
            self._paused = True
            self.client.pause()
        else:
            self._replay = None

    def _respond(self, response: Response, events: list[Any]) -> None:
        if response.status == 101:
            self._switch(response, events)
        elif response.status < 200:
            if response.status != 100:  # the client was told to continue by us
                self.client.send_informational(response)
        else:
            if self._replay:
                self._replay = None
            self.status = response.status
            if not self.request_ended:
                self.last = True
            peer = self.peer
            if peer is not None and peer.failures:
                peer.failures = 0
            self.client.send_response(response if self._policy is None else self._altered(self._policy, response))

    def _altered(self, policy: Policy, response: Response) -> Response:
        """Give the response as the policy wants it."""
        token = self.peer.token if policy.sticky and self.peer is not None else b""
        return finish(policy, response, sticky_cookie(policy, token) if token != self._sticky else b"")

    def _switch(self, response: Response, events: list[Any]) -> None:
        if not self.request.upgrade or self.upstream is None:
            self.lost("it switched protocols without being asked")
            return
        self.status = 101
        self._over = True
        first = b"".join(event for event in events if type(event) is bytes)
        self._gateway.upgraded()
        self.client.switch(response, self.upstream, first)

    def _finish(self, *, complete: bool) -> None:
        self._over = True
        self._over_with_upstream(reusable=complete and self.request_ended)
        if complete:
            self.client.send_end()
        self._gateway.finished(self)

    def _over_with_upstream(self, *, reusable: bool = False) -> Upstream | None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.release(complete=reusable)
        return upstream
