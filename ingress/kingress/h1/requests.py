"""Reads requests: what llhttp lets pass and must never be forwarded is refused here. No sockets.

What is refused, and why each could make two servers see different requests, is the table of
`tests/unit/kingress/test_requests.py`. Sources: RFC 9112 (framing 6, Host 3.2, obsolete folding 5.2), RFC 9110 7.2.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from kingress import headers as names
from kingress.h1.plain import PlainReader
from kingress.h1.reader import Malformed, Reader, content_length, is_chunked
from kingress.message import UNKNOWN, Refused, Request
from kingress.target import BadTarget, host_of, normal_target, split_absolute

_UPGRADES: Final = frozenset((b"websocket",))
_ENOUGH: Final = 65536  # bytes held back before no more are read
_PIECE: Final = 16384  # bytes given to the parser at once: limits hold however much comes in one read
_LOGGED: Final = frozenset((b"user-agent", b"referer"))
_SPECIAL: Final = names.REQUEST_SPECIAL | _LOGGED
_TOLD: Final = names.TOLD
_PLAIN: Final = frozenset((b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"))
_NOT_PROXIED: Final = {
    "CONNECT": "this proxy opens no tunnels on request",
    "TRACE": "TRACE would show the request's secret headers to scripts",
    "PRI": "HTTP/2 is not spoken here without being negotiated",
}


class RequestReader(Reader):
    """Turns the bytes of a client into `Request`, body pieces and `END`; a `Refused` among them ends the reading.

    After a request that asks for an upgrade, bytes are held back until `resume` or `held` says what they are.
    """

    _ended = False  # nothing more is read
    _last = False  # the request says that it is the last
    _granted = False  # the request asks for an upgrade that is possible
    _target = b""
    _logged: dict[bytes, bytes]  # what the access log says of the client

    def __init__(
        self,
        head_limit: int = 32768,
        headers_limit: int = 100,
        target_limit: int = 8192,
        plain: PlainReader | None = None,
    ) -> None:
        self._target_limit = target_limit
        self._plain = plain  # None: no more plain requests are to come
        self._held: bytes | None = None
        super().__init__(head_limit, headers_limit)

    def _new_parser(self) -> Any:
        return httptools.HttpRequestParser(self)

    def _too_large(self) -> Exception:
        return Refused(431, f"its head has over {self._head_limit} bytes or {self._headers_limit} headers")

    def known(self, data: bytes) -> Request | None:
        """Give the request that `data` is, if it is exactly one and plain: without what has to be looked at twice."""
        if self.in_message or self._held is not None or self._plain is None:
            return None
        return self._plain.read(data)

    def feed(self, data: bytes) -> list[Any]:
        """Give the messages and parts of messages that `data` completes.

        Never raises: a `Refused` is the last of the events, and later bytes are ignored.
        """
        if self._left < len(data) > _PIECE:
            pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
            return [event for piece in pieces for event in self.feed(piece)]
        events: list[Any] = []
        self._events = events
        if self._left:
            data = self._pass(data)
        if self._ended or not data:
            return events
        if self._held is not None:
            self._held += data
            return events
        self._fed += len(data)
        if self._parser is None:
            self._parser = self._new_parser()
        try:
            self._parser.feed_data(data)
            if self.in_message:
                self._unfinished()
        except httptools.HttpParserUpgrade as stop:
            self._stopped(data[stop.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__ or error)
        except (httptools.HttpParserError, Refused, Malformed) as error:
            self._refuse(error)
        return events

    def resume(self) -> list[Any]:
        """Go on after a request whose upgrade was not granted; gives what the held bytes contain."""
        held, self._held = self._held, None
        return self.feed(held) if held else []

    @property
    def holds_enough(self) -> bool:
        """Whether nothing more should be read until it is known what the held bytes are."""
        return self._held is not None and len(self._held) > _ENOUGH

    def held(self) -> bytes:
        """Give the bytes that came after a request whose upgrade was granted."""
        return self._held or b""

    def _stopped(self, rest: bytes) -> None:
        """The parser stopped after a request that asks for an upgrade."""
        self._renew()
        if self._granted:
            self._held = rest
        elif rest:
            before = self._events
            self._events = before + self.feed(rest)
            before[:] = self._events

    def _end(self) -> None:
        self._ended = True
        self._plain = None

    def _refuse(self, error: BaseException) -> None:
        if self._ended:
            return  # bytes after a request that said it was the last
        self._end()
        if isinstance(error, Refused):
            self._events.append(error)
        elif isinstance(error, Malformed | httptools.HttpParserError):
            self._events.append(Refused(400, f"it is not valid HTTP/1.1: {error}"))
        else:
            raise error

    # What httptools calls.

    def on_message_begin(self) -> None:
        """See `Reader.on_message_begin`."""
        self._headers = []
        self._found = {}
        self._logged = {}
        self._body = 0
        self._target = b""
        self.in_message = True

    def on_url(self, data: bytes) -> None:
        """Take a part of the request target."""
        self._target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or after the body a trailer, which is dropped."""
        lower = name.lower()
        if lower not in _SPECIAL:
            if b"_" not in name:  # X_Forwarded_For is X-Forwarded-For to many a server: such names are dropped
                self._headers.append((name, value))
        elif lower in _LOGGED:
            self._headers.append((name, value))
            self._logged[lower] = value
        elif lower in _TOLD:
            self._headers.append((lower, value))  # for the policies to trust or to overwrite
            self._found[b"told"] = b""
        elif lower not in self._found:
            self._found[lower] = value.strip(b" \t")
        elif lower == b"connection":
            self._found[lower] += b"," + value
        else:
            raise Refused(400, f"it has more than one {name.decode('ascii')}")

    def on_headers_complete(self) -> None:
        """Judge the head, and give it."""
        parser, found = self._parser, self._found
        method, version = parser.get_method().decode("ascii"), parser.get_http_version()
        if method in _NOT_PROXIED:
            raise Refused(405, _NOT_PROXIED[method])
        if version != "1.1" and version != "1.0":  # noqa: PLR1714  # quicker than a tuple on this path
            raise Refused(505, f"HTTP/{version} is not spoken here")
        self._check_size()
        authority = found.get(b"host")
        try:
            target, path = self._origin(method, authority)
            if authority is not None:
                host = host_of(authority)
            elif version == "1.0":
                authority, host = b"", ""
            else:
                raise Refused(400, "it has no Host")
        except BadTarget as error:
            raise Refused(400, str(error)) from None
        request = Request(method, target, path, authority, host, self._headers)
        request.agent, request.referer = self._logged.get(b"user-agent", b""), self._logged.get(b"referer", b"")
        self._granted = self._last = False
        self._length = 0
        if len(found) > 1 or version == "1.0":
            self._apply(request, version)
        self._headers = []  # from here on they are trailers
        self.in_body = True
        self._events.append(request)

    def on_message_complete(self) -> None:
        """See `Reader.on_message_complete`."""
        super().on_message_complete()
        if self._last:
            self._end()

    def _origin(self, method: str, authority: bytes | None) -> tuple[bytes, str]:
        """Give the target in origin form, and its path."""
        target = self._target
        if len(target) > self._target_limit:
            raise Refused(414, f"its target has over {self._target_limit} bytes")
        if target.startswith(b"/"):
            return normal_target(target)
        if target == b"*":
            if method != "OPTIONS":
                raise Refused(400, "the target * is for OPTIONS only")
            return target, "/"
        named, target = split_absolute(target)
        if authority is None or named.lower() != authority.lower():
            raise Refused(400, "the host in its target is not the one in Host")
        return normal_target(target)

    def _apply(self, request: Request, version: str) -> None:
        """Do what the less usual headers say."""
        found = self._found
        request.version = version
        self._length = request.length = self._framed(version)
        request.told = b"told" in found
        request.trailers = version == "1.1" and b"trailers" in names.tokens(found.get(b"te", b""))
        connection = names.tokens(found.get(b"connection", b""))
        if not _PLAIN.issuperset(connection):
            request.headers = names.without(request.headers, connection)
        request.last = self._last = b"close" in connection or (version == "1.0" and b"keep-alive" not in connection)
        upgrade = found.get(b"upgrade", b"").lower()
        if upgrade in _UPGRADES and b"upgrade" in connection and version == "1.1":
            self._granted = request.method == "GET" and self._length == 0
            request.upgrade = upgrade if self._granted else b""
        expect = found.get(b"expect", b"").lower()
        if expect and expect != b"100-continue":
            raise Refused(417, "the only expectation that can be met is 100-continue")
        request.expects_continue = bool(expect) and version == "1.1" and self._length != 0

    def _framed(self, version: str) -> int:
        """Give the length of the body."""
        coding, declared = self._found.get(b"transfer-encoding"), self._found.get(b"content-length")
        if coding is None:
            return 0 if declared is None else content_length(declared)
        if declared is not None:
            raise Refused(400, "it has both a Content-Length and a Transfer-Encoding")
        if version == "1.0":
            raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
        if not is_chunked(coding):
            raise Refused(501, "its Transfer-Encoding is not exactly `chunked`")
        return UNKNOWN
