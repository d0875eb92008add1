"""Reads requests: what llhttp lets pass and must never be forwarded is refused here. No sockets.

What is refused, and why each could make two servers see different requests, is the table of
`tests/unit/kingress/h1/test_requests.py`. Sources: RFC 9112 (framing 6, Host 3.2, obsolete folding 5.2), RFC 9110 7.2.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from kingress import headers as names
from kingress.h1.reader import Malformed, Reader, content_length, is_chunked
from kingress.message import UNKNOWN, Refused, Request
from kingress.target import BadTarget, host_of, normal_target, split_absolute

_UPGRADES: Final = frozenset((b"websocket",))
_SPECIAL: Final = names.REQUEST_SPECIAL
_NOT_PROXIED: Final = {
    "CONNECT": "this proxy opens no tunnels on request",
    "TRACE": "TRACE would show the request's secret headers to scripts",
    "PRI": "HTTP/2 is not spoken here without being negotiated",
}


class RequestReader(Reader):
    """Turns the bytes of a client into `Request`, body pieces and `END`; a `Refused` among them ends the reading.

    After a request that asks for an upgrade, bytes are held back until `resume` or `held` says what they are.
    """

    def __init__(self, head_limit: int = 32768, headers_limit: int = 100, target_limit: int = 8192) -> None:
        self._target_limit = target_limit
        self._held: bytes | None = None
        self._ended = False
        super().__init__(head_limit, headers_limit)

    def _new_parser(self) -> Any:
        return httptools.HttpRequestParser(self)

    def _too_large(self) -> Exception:
        return Refused(431, f"the head of the request has over {self._head_limit} bytes or {self._headers_limit} headers")

    def feed(self, data: bytes) -> list[Any]:
        """See `Reader.feed`. Never raises: a refusal is the last of the events, and later bytes are ignored."""
        if self._ended:
            return []
        if self._held is not None:
            self._held += data
            return []
        try:
            return super().feed(data)
        except Refused as refusal:
            return self._end(refusal)
        except Malformed as error:
            return self._end(Refused(400, str(error)))

    def resume(self) -> list[Any]:
        """Go on after a request whose upgrade was not granted; gives what the held bytes contain."""
        held, self._held = self._held, None
        return self.feed(held) if held else []

    def held(self) -> bytes:
        """Give the bytes that came after a request whose upgrade was granted."""
        return self._held or b""

    def _end(self, refusal: Refused) -> list[Any]:
        self._ended = True
        self._events.append(refusal)
        return self._events

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stop:
                data, granted = data[stop.args[0] :], self._upgrade
                self._fresh()
                if granted:
                    self._held = data
                    return
            except httptools.HttpParserCallbackError as error:
                raise error.__context__ or error from None
            except httptools.HttpParserError as error:
                if self._ended:
                    return  # bytes after a request that said Connection: close
                raise Malformed(f"the request is not valid HTTP/1.1: {error}") from None
            else:
                return

    # What httptools calls.

    def on_message_begin(self) -> None:
        """See `Reader.on_message_begin`."""
        super().on_message_begin()
        self._target = b""
        self._host: bytes | None = None
        self._connection: list[bytes] = []
        self._upgrade = b""
        self._coding: bytes | None = None
        self._declared: bytes | None = None
        self._expect = b""
        self._last = False

    def on_url(self, data: bytes) -> None:
        """Take a part of the request target."""
        self._target += data
        if len(self._target) > self._target_limit:
            raise Refused(414, f"the request target has over {self._target_limit} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or after the body a trailer, which is dropped."""
        self._count_header(name, value)
        if self._in_body:
            return
        lower = name.lower()
        if lower in _SPECIAL:
            self._special(lower, value.strip(b" \t"))
        elif b"_" not in name:  # X_Forwarded_For is X-Forwarded-For to many a server: such names are dropped
            self._headers.append((name, value))

    def _special(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            if self._host is not None:
                raise Refused(400, "the request has more than one Host")
            self._host = value
        elif name == b"connection":
            self._connection += names.tokens(value)
        elif name == b"content-length":
            if self._declared is not None:
                raise Refused(400, "the request has more than one Content-Length")
            self._declared = value
        elif name == b"transfer-encoding":
            if self._coding is not None:
                raise Refused(400, "the request has more than one Transfer-Encoding")
            self._coding = value
        elif name == b"upgrade":
            self._upgrade = value.lower()
        elif name == b"expect":
            self._expect = value.lower()
        elif name in names.FORWARDED or name == b"x-request-id":
            self._headers.append((name, value))  # for the policies to trust or to overwrite

    def on_headers_complete(self) -> None:
        """Judge the head, and give it."""
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(505, f"HTTP/{version} is not spoken here")
        method = self._parser.get_method().decode("ascii")
        if method in _NOT_PROXIED:
            raise Refused(405, _NOT_PROXIED[method])
        self._length = self._framed(version)
        target, path = self._origin(method)
        host = self._named_host(version)
        connection = self._connection
        request = Request(method, target, path, self._host or b"", host, self._headers, self._length)
        request.version = version
        if connection:
            self._connected(request, connection)
        else:
            self._upgrade = b""
            request.last = version == "1.0"
        if self._expect:
            self._expected(request)
        self._in_body = True
        self._last = request.last
        self._events.append(request)

    def on_message_complete(self) -> None:
        """See `Reader.on_message_complete`."""
        super().on_message_complete()
        self._ended = self._last

    def _framed(self, version: str) -> int:
        """Give the length of the body."""
        if self._coding is not None:
            if self._declared is not None:
                raise Refused(400, "the request has both a Content-Length and a Transfer-Encoding")
            if version == "1.0":
                raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
            if not is_chunked(self._coding):
                raise Refused(501, "the request's Transfer-Encoding is not exactly `chunked`")
            return UNKNOWN
        return 0 if self._declared is None else content_length(self._declared)

    def _origin(self, method: str) -> tuple[bytes, str]:
        """Give the target in origin form, and its path."""
        target = self._target
        if target == b"*":
            if method != "OPTIONS":
                raise Refused(400, "the target * is for OPTIONS only")
            return target, "/"
        try:
            if not target.startswith(b"/"):
                authority, target = split_absolute(target)
                if self._host is None or authority.lower() != self._host.lower():
                    raise Refused(400, "the host in the request target is not the one in Host")
            return normal_target(target)
        except BadTarget as error:
            raise Refused(400, str(error)) from None

    def _named_host(self, version: str) -> str:
        if self._host is None:
            if version == "1.0":
                return ""
            raise Refused(400, "the request has no Host")
        try:
            return host_of(self._host)
        except BadTarget as error:
            raise Refused(400, str(error)) from None

    def _connected(self, request: Request, connection: list[bytes]) -> None:
        """Do what Connection says."""
        plain = {b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"}
        if not plain.issuperset(connection):
            request.headers = names.without(request.headers, connection)
        request.last = b"close" in connection or (request.version == "1.0" and b"keep-alive" not in connection)
        wanted = b"upgrade" in connection and request.version == "1.1" and request.method == "GET"
        granted = wanted and self._upgrade in _UPGRADES and self._length == 0
        self._upgrade = request.upgrade = self._upgrade if granted else b""

    def _expected(self, request: Request) -> None:
        if self._expect != b"100-continue":
            raise Refused(417, "the only expectation that can be met is 100-continue")
        request.expects_continue = request.version == "1.1" and self._length != 0
