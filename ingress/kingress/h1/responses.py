"""Reads responses as strictly as requests: what is ambiguous is not passed on. No sockets."""

from __future__ import annotations

from typing import Any, Final

import httptools

from kingress import headers as names
from kingress.h1.reader import Malformed, Reader, content_length, is_chunked, remember
from kingress.message import END, UNKNOWN, BadResponse, Response, Trailers

_SPECIAL: Final = names.RESPONSE_SPECIAL
_SERVER: Final = (b"Server", b"kingress")  # where an upstream does not say what it is


class ResponseReader(Reader):
    """Turns the bytes of an upstream into `Response`, body pieces and `END`.

    Say `expect` before each response. `reusable` tells whether the connection can carry another request.
    """

    reusable = True
    keep_alive = 0  # seconds, where the upstream says how long it keeps idle connections
    _method = "GET"
    _expected = False
    _whole: bool  # nothing of the response has come, and it may have a body
    _bodiless = False
    _to_the_end = False  # the response ends with the connection
    _reason = b""
    _dated = False
    _named = False  # it says what server made it

    def __init__(
        self, head_limit: int = 65536, headers_limit: int = 200, heads: dict[bytes, Response] | None = None
    ) -> None:
        self._heads = heads if heads is not None else {}
        self._head = b"\0"  # that was known last
        self._meant: Response
        self._whole = False
        super().__init__(head_limit, headers_limit)

    def _new_parser(self) -> Any:
        return httptools.HttpResponseParser(self)

    def _too_large(self) -> Exception:
        return BadResponse(f"its head has over {self._head_limit} bytes or {self._headers_limit} headers")

    def expect(self, method: str) -> None:
        """A request with this method has been sent: its response comes next."""
        self._method = method
        self._expected = True
        self._whole = method != "HEAD" and not self.in_message
        self._fed = 0

    def known(self, data: bytes) -> tuple[Response, bytes] | None:
        """Give the response that `data` is, if it is a whole one whose head has been read before."""
        if not self._whole:
            return None
        head = self._head
        if not data.startswith(head):  # most responses of one second begin like the one before
            head = data[: data.find(b"\r\n\r\n") + 4]
            meant = self._heads.get(head)
            if meant is None:
                return None
            self._head, self._meant = head, meant
        response, begins = self._meant, len(head)
        if len(data) - begins != response.length:
            return None
        self._expected = self._whole = False
        return response, data[begins:]

    def feed(self, data: bytes) -> list[Any]:
        """Give the messages and parts of messages that `data` completes. Raises BadResponse."""
        begins, self._whole = self._whole, False
        end = data.find(b"\r\n\r\n") + 4 if begins else 0
        events: list[Any] = []
        self._events = events
        if self._left:
            data = self._pass(data)
            if not data:
                return events
        self._fed += len(data)
        if self._parser is None:
            self._parser = self._new_parser()
        try:
            self._parser.feed_data(data)
            if self.in_message:
                self._unfinished()
            elif (
                begins
                and data.startswith(b"HTTP/")
                and len(events) == 3
                and self.reusable
                and not self.keep_alive
                and events[0].length > 0
            ):
                remember(self._heads, data[:end], events[0])
            elif self._bodiless:
                self._renew()  # the parser may wait for a body that the head speaks of
        except httptools.HttpParserUpgrade as stop:
            self._renew()
            if len(data) > stop.args[0]:
                events.append(data[stop.args[0] :])  # what the new protocol began with
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except (httptools.HttpParserError, Malformed) as error:
            self._failed(error)
        return events

    def finish(self) -> bool:
        """The connection has ended: whether the response is complete by that."""
        return self._to_the_end and self.in_body

    def _failed(self, error: Exception) -> None:
        if not self._bodiless or self.in_message:
            raise BadResponse(f"it is not valid HTTP/1.1: {error}") from None
        self.reusable = False  # there is a body where none can be: the response was complete before

    # What httptools calls.

    def on_status(self, reason: bytes) -> None:
        """Take a part of the reason phrase."""
        self._reason += reason

    def on_message_begin(self) -> None:
        """See `Reader.on_message_begin`."""
        self._headers = []
        self._found = {}
        self._body = 0
        self._reason = b""
        self._dated = self._named = False
        self.in_message = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or after the body a trailer."""
        lower = name.lower()
        if lower not in _SPECIAL:
            self._headers.append((name, value))
            if lower == b"date":
                self._dated = True
            elif lower == b"server":
                self._named = True
        elif lower not in self._found:
            self._found[lower] = value.strip(b" \t")
        elif lower in names.FRAMING:
            raise BadResponse(f"it has more than one {name.decode('ascii')}")
        else:
            self._found[lower] += b"," + value

    def on_headers_complete(self) -> None:
        """Judge the head, and give it."""
        parser, found = self._parser, self._found
        status, version = parser.get_status_code(), parser.get_http_version()
        if status >= 200:
            if not self._expected:
                raise BadResponse("it is a second response to one request")
            self._expected = False
        self._check_size()
        length = found.get(b"content-length")
        declared = UNKNOWN if length is None else content_length(length)
        headers = self._headers
        if len(found) > 1 or length is None or version != "1.1":
            headers = self._apply(version)
        if status >= 200 and not self._named:
            headers = [*headers, _SERVER]
        self._bodiless = self._method == "HEAD" or status < 200 or status in (204, 304)
        self._length = 0 if self._bodiless else declared
        self._headers = []  # from here on they are trailers
        self._events.append(Response(status, self._reason, headers, self._length, declared, self._dated))
        if self._bodiless:
            self.in_message = False
            if status >= 200:
                self._events.append(END)
        else:
            self.in_body = True
            self._to_the_end = declared == UNKNOWN and b"transfer-encoding" not in found
            if self._to_the_end:
                self.reusable = False

    def _apply(self, version: str) -> list[tuple[bytes, bytes]]:
        """Do what the less usual headers say; gives those to pass on."""
        if version not in ("1.1", "1.0"):
            raise BadResponse(f"HTTP/{version} is not spoken here")
        found = self._found
        coding = found.get(b"transfer-encoding")
        if coding is not None and (b"content-length" in found or not is_chunked(coding) or version == "1.0"):
            raise BadResponse("its Transfer-Encoding is not exactly `chunked`, or not the only framing")
        connection = names.tokens(found.get(b"connection", b""))
        if b"close" in connection or (version == "1.0" and b"keep-alive" not in connection):
            self.reusable = False
        for part in names.tokens(found.get(b"keep-alive", b"")):
            name, _, seconds = part.partition(b"=")
            if name == b"timeout" and seconds.isdigit() and len(seconds) < 7:
                self.keep_alive = int(seconds)
        return names.without(self._headers, connection)

    def on_body(self, data: bytes) -> None:
        """See `Reader.on_body`. Where no body can be, what comes is not ours: the connection is not used again."""
        if self._bodiless:
            self.reusable = False
        else:
            self._body += len(data)
            self._events.append(data)

    def on_message_complete(self) -> None:
        """See `Reader.on_message_complete`."""
        if self._bodiless:
            return
        trailers = [each for each in self._headers if each[0].lower() not in names.NOT_IN_TRAILERS]
        if trailers:
            self._check_size()
            self._events.append(Trailers(trailers))
        super().on_message_complete()
