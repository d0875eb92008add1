"""Reads responses as strictly as requests: what is ambiguous is not passed on. No sockets."""

from __future__ import annotations

from typing import Any, Final

import httptools

from kingress import headers as names
from kingress.h1.reader import Malformed, Reader, content_length, is_chunked
from kingress.message import END, UNKNOWN, BadResponse, Response

_SPECIAL: Final = names.RESPONSE_SPECIAL


class ResponseReader(Reader):
    """Turns the bytes of an upstream into `Response`, body pieces and `END`.

    Say `expect` before each response. `reusable` tells whether the connection can carry another request.
    """

    def __init__(self, head_limit: int = 65536, headers_limit: int = 200) -> None:
        self.reusable = True
        self.keep_alive = 0  # seconds, where the upstream says how long it keeps idle connections
        self._method = "GET"
        self._expected = False
        self._to_the_end = False
        super().__init__(head_limit, headers_limit)

    def _new_parser(self) -> Any:
        return httptools.HttpResponseParser(self)

    def _too_large(self) -> Exception:
        return BadResponse(f"the head has over {self._head_limit} bytes or {self._headers_limit} headers")

    def expect(self, method: str) -> None:
        """A request with this method has been sent: its response comes next."""
        self._method = method
        self._expected = True

    def feed(self, data: bytes) -> list[Any]:
        """See `Reader.feed`. Raises BadResponse."""
        try:
            return super().feed(data)
        except Malformed as error:
            raise BadResponse(str(error)) from None

    def finish(self) -> bool:
        """The connection has ended: whether the response is complete by that."""
        return self._to_the_end and self._in_body

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self._fresh()
            if len(data) > stop.args[0]:
                self._events.append(data[stop.args[0] :])  # what the new protocol began with
            return
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            if self._bodiless and not self._in_message:
                self.reusable = False  # there is a body where none can be; the response was complete before
                return
            raise BadResponse(f"it is not valid HTTP/1.1: {error}") from None
        if self._bodiless and self._cut:
            self._fresh()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """See `Reader.on_message_begin`."""
        super().on_message_begin()
        self._reason = b""
        self._connection: list[bytes] = []
        self._coding: bytes | None = None
        self._declared: bytes | None = None
        self._bodiless = self._cut = False

    def on_status(self, reason: bytes) -> None:
        """Take a part of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or after the body a trailer, which is dropped."""
        self._count_header(name, value)
        if self._in_body:
            return
        lower = name.lower()
        if lower in _SPECIAL:
            self._special(lower, value.strip(b" \t"))
        else:
            self._headers.append((name, value))

    def _special(self, name: bytes, value: bytes) -> None:
        if name == b"connection":
            self._connection += names.tokens(value)
        elif name == b"content-length":
            if self._declared is not None:
                raise BadResponse("it has more than one Content-Length")
            self._declared = value
        elif name == b"transfer-encoding":
            if self._coding is not None or not is_chunked(value):
                raise BadResponse("its Transfer-Encoding is not exactly `chunked`")
            self._coding = value
        elif name == b"keep-alive":
            found = [part.partition(b"=")[2] for part in names.tokens(value) if part.startswith(b"timeout=")]
            self.keep_alive = int(found[0]) if found and found[0].isdigit() and len(found[0]) < 7 else 0

    def on_headers_complete(self) -> None:
        """Judge the head, and give it."""
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadResponse(f"HTTP/{version} is not spoken here")
        if self._coding is not None and self._declared is not None:
            raise BadResponse("it has both a Content-Length and a Transfer-Encoding")
        if status >= 200:
            if not self._expected:
                raise BadResponse("it is a second response to one request")
            self._expected = False
        declared = UNKNOWN if self._declared is None else content_length(self._declared)
        connection = self._connection
        headers = names.without(self._headers, connection) if connection else self._headers
        if b"close" in connection or (version == "1.0" and b"keep-alive" not in connection):
            self.reusable = False
        self._bodiless = self._method == "HEAD" or status in (204, 304) or status < 200
        self._length = 0 if self._bodiless else declared
        self._events.append(Response(status, self._reason, headers, self._length, declared))
        if not self._bodiless:
            self._in_body = True
            self._to_the_end = declared == UNKNOWN and self._coding is None
            self.reusable = self.reusable and not self._to_the_end
        elif status >= 200:
            self._finish_without_body()

    def _finish_without_body(self) -> None:
        """End a response that has no body whatever its headers say; the parser may wait for one, so it goes."""
        self._events.append(END)
        self._in_message = False
        self._cut = True

    def on_body(self, data: bytes) -> None:
        """See `Reader.on_body`. Where no body can be, what comes is not ours: the connection is not used again."""
        if self._bodiless:
            self.reusable = False
        else:
            super().on_body(data)

    def on_message_complete(self) -> None:
        """See `Reader.on_message_complete`."""
        if self._bodiless:
            self._in_message = False
        else:
            super().on_message_complete()
