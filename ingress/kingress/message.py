"""Requests and responses as the router, the balancer and the policies see them: whatever HTTP version carries them.

The readers of `kingress.h1` make these from bytes and the writers turn them back; HTTP/2 will join at this place.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, Final

Header = tuple[bytes, bytes]

REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))  # doing it twice is doing it once

UNKNOWN: Final = -1  # the length of a body that ends when it ends


@dataclass(init=False, slots=True)
class Request:
    """The head of a request. `headers` are end to end only: framing and hop-by-hop headers are not in it.

    A plain one may be shared by many exchanges: whoever alters it alters a copy (`again`).
    """

    method: str
    target: bytes  # origin form, normalised: what is forwarded
    path: str  # of the target, normalised: what is routed on
    authority: bytes  # the Host as it came; empty only from HTTP/1.0
    host: str  # of the authority: small letters, without a port
    headers: list[Header]
    length: int  # of the body; UNKNOWN where it is not told beforehand
    upgrade: bytes  # `websocket`, where the client asks to switch protocols
    expects_continue: bool  # the client waits for a 100 before it sends the body
    last: bool  # the client wants, or can bear, no further request on this connection
    version: str
    trailers: bool  # the client takes fields after the body
    told: bool  # `headers` has some of what a proxy says of the client, with names in small letters
    agent: bytes  # User-Agent and Referer, for the access log
    referer: bytes
    wire: bytes  # as HTTP/1 writes it, without its end, once it is known
    logged: tuple[str, str] | None  # what the access log says of it, once it did
    way: tuple[int, Any, Any] | None  # the version of the route table, and what was found there: route, backend

    def __init__(  # noqa: PLR0917  # what every request has, in the order in which it is known
        self, method: str, target: bytes, path: str, authority: bytes, host: str, headers: list[Header]
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.authority = authority
        self.host = host
        self.headers = headers
        self.length = 0
        self.upgrade = self.agent = self.referer = self.wire = b""
        self.expects_continue = self.last = self.trailers = self.told = False
        self.version = "1.1"
        self.logged = self.way = None

    def again(self) -> Request:
        """Give an equal request, to be altered."""
        made = copy(self)
        made.wire, made.logged, made.way = b"", None, None
        return made


@dataclass(slots=True)
class Response:
    """The head of a response. `headers` are end to end only."""

    status: int
    reason: bytes
    headers: list[Header]
    length: int  # of the body that follows; UNKNOWN where it is not told beforehand
    declared: int = UNKNOWN  # Content-Length of a response that has no body itself (HEAD, 304)
    dated: bool = False  # it says when it was made; otherwise that is added (RFC 9110 6.6.1)
    wire: bytes = b""  # as HTTP/1 writes it on a connection that goes on, once it was written


@dataclass(slots=True)
class Trailers:
    """What a response says after its body, before its `END`. Only those that may stand there are in it."""

    headers: list[Header]


class End:
    """Follows a message that had, or could have had, a body."""


END: Final = End()


class Refused(Exception):
    """A request that is not served: the status to answer with, and why. The connection ends with it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class BadResponse(Exception):
    """What an upstream sent is not HTTP, or is ambiguous; nothing of it can be trusted."""
