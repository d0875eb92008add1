"""Writes HTTP/1 heads and chunks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from kingress.message import UNKNOWN, Header, Request, Response

if TYPE_CHECKING:
    from kingress.forwarded import Forwarding

LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_LONGEST: Final = 2048  # bytes of a head that is kept for the next request
_HOST: Final = b"X-Forwarded-Host: "
_ID: Final = b"\r\nX-Request-ID: "
_END: Final = b"\r\n\r\n"
_LINE = b": ".join  # of a header: its name and value
_CHUNKED: Final = (b"Transfer-Encoding", b"chunked")
_CLOSE: Final = (b"Connection", b"close")
_KEEP_ALIVE: Final = (b"Connection", b"keep-alive")
_WITH_BODY: Final = frozenset(("POST", "PUT", "PATCH"))


def request_head(request: Request, forwarding: Forwarding, told: list[Header] | None, request_id: bytes) -> bytes:
    """Write the head of a request for an upstream; its connection is always kept alive.

    `told` is what is said of the client, where that is not what `forwarding` says of all its requests.
    """
    if forwarding.latest is request and told is None:  # a client repeats itself
        if not forwarding.wire:
            forwarding.wire = b"".join((request.wire, forwarding.lines, _HOST, request.authority, _ID))
        return forwarding.wire + request_id + _END
    first = request.wire
    if not first:
        first = request.wire = _lines(request)
    if told is not None:
        return b"%b%b\r\n\r\n" % (first, b"\r\n".join(map(_LINE, told)))
    if len(first) <= _LONGEST:
        forwarding.latest, forwarding.wire = request, b""
    return b"".join((first, forwarding.lines, _HOST, request.authority, _ID, request_id, _END))


def _lines(request: Request) -> bytes:
    """Write the request line and the request's own headers."""
    lines = [(b"Host", request.authority), *request.headers]
    if request.length == UNKNOWN:
        lines.append(_CHUNKED)
    elif request.length or request.method in _WITH_BODY:
        lines.append((b"Content-Length", b"%d" % request.length))
    if request.upgrade:
        lines += ((b"Connection", b"Upgrade"), (b"Upgrade", request.upgrade))
    elif request.trailers:
        lines += ((b"Connection", b"TE"), (b"TE", b"trailers"))
    fields = b"\r\n".join(map(_LINE, lines))
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode("ascii"), request.target, fields)


def response_wire(response: Response, date: bytes, *, last: bool = False) -> bytes:
    """Write the head of a response of known length, for HTTP/1.1; the connection goes on unless it is the `last`."""
    wire = response.wire
    if not wire:
        wire = response.wire = response_head(
            response.status, response.reason, response.headers, length=response.length, last=False, old=False
        )
    if not response.dated:
        wire = b"%bDate: %b\r\n\r\n" % (wire[:-2], date)
    return b"%bConnection: close\r\n\r\n" % wire[:-2] if last else wire


def response_head(
    status: int, reason: bytes, headers: list[Header], *, length: int | None, last: bool, old: bool
) -> bytes:
    """Write the head of a response. `length` None: no header says it. UNKNOWN: chunked, or for `old` until the end."""
    lines = headers
    if length is not None:
        if length != UNKNOWN:
            lines = [*lines, (b"Content-Length", b"%d" % length)]
        elif not old:
            lines = [*lines, _CHUNKED]
    if last:
        lines = [*lines, _CLOSE]
    elif old:
        lines = [*lines, _KEEP_ALIVE]
    if not lines:
        return b"HTTP/1.1 %d %b\r\n\r\n" % (status, reason)
    return b"HTTP/1.1 %d %b\r\n%b\r\n\r\n" % (status, reason, b"\r\n".join(map(_LINE, lines)))


def switching_head(reason: bytes, headers: list[Header], protocol: bytes) -> bytes:
    """Write the 101 that hands the connection over to another protocol."""
    lines = [*headers, (b"Connection", b"Upgrade"), (b"Upgrade", protocol)]
    return b"HTTP/1.1 101 %b\r\n%b\r\n\r\n" % (reason, b"\r\n".join(map(_LINE, lines)))


def last_chunk(trailers: Sequence[Header]) -> bytes:
    """Write the end of a chunked body, and what is said after it."""
    return b"0\r\n%b\r\n\r\n" % b"\r\n".join(map(_LINE, trailers)) if trailers else LAST_CHUNK


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Frame a piece of a body."""
    return b"%x\r\n" % len(data), data, b"\r\n"
