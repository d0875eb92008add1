"""Reads HTTP/1 from bytes, strictly: the part that requests and responses share. No sockets.

The syntax is llhttp's (through httptools, in C), which refuses bare line feeds, folded lines, bad chunks and
conflicting lengths. What it lets pass and a proxy must not is refused by the two readers built on this one.

`feed` turns bytes into messages: a head, then pieces of the body as `bytes`, then `END`. A body of known length that
goes on beyond the first bytes is counted here and not shown to the parser: nothing in it is looked at.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Final

from kingress.message import END, UNKNOWN, Header

REMEMBERED: Final = 1024  # heads, shared by all connections
_LONGEST: Final = 1024  # bytes of a head that is worth remembering
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_FRAMING_ALLOWED: Final = 16384  # bytes of chunk sizes, extensions and trailers beyond 16 for each byte of body


class Malformed(Exception):
    """The bytes are not the HTTP that is allowed here; the message says why."""


def content_length(value: bytes) -> int:
    """Read a Content-Length: digits only, without sign, list or leading zero. Raises Malformed."""
    if not _LENGTH.fullmatch(value):
        raise Malformed("the Content-Length is not one plain number")
    return int(value)


def is_chunked(value: bytes) -> bool:
    """Whether a Transfer-Encoding is `chunked` and nothing else, the only coding that is understood here."""
    return value.lower() == b"chunked"


def remember(heads: dict[bytes, Any], head: bytes, message: Any) -> None:
    """Note what a head means: clients and servers repeat themselves, and the same bytes mean the same again."""
    if len(head) <= _LONGEST:
        if len(heads) >= REMEMBERED and head not in heads:
            heads.clear()
        heads[head] = message


class Reader(ABC):
    """Turns the bytes of one connection into messages of one kind."""

    in_message: bool  # something of a message has come, and not all of it
    in_body = False  # its head is complete
    _fed = 0  # bytes since the message began, or a little before
    _body = 0  # bytes of its body
    _length = 0  # that its body has, or UNKNOWN
    _left = 0  # bytes of its body that the parser will not see
    _parser: Any = None  # made when something has to be read that was not read before
    _events: list[Any]
    _headers: list[Header]
    _found: dict[bytes, bytes]  # the headers that are not simply passed on, by name in small letters

    def __init__(self, head_limit: int, headers_limit: int) -> None:
        self._head_limit = head_limit
        self._headers_limit = headers_limit
        self.in_message = False

    @abstractmethod
    def _new_parser(self) -> Any:
        """Give a parser that calls this reader."""

    @abstractmethod
    def _too_large(self) -> Exception:
        """Give the error for a head beyond its limits."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and not ended."""
        return self.in_message and not self.in_body

    def _renew(self) -> None:
        """Be between messages, with a parser that remembers nothing."""
        self._parser = None
        self.in_message = self.in_body = False

    def _pass(self, data: bytes) -> bytes:
        """Take what belongs to the body; give what follows it."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            self._events.append(data)
            return b""
        self._left = 0
        self._events.append(data if len(data) == left else data[:left])
        self.on_message_complete()
        self._renew()
        return data[left:]

    def _unfinished(self) -> None:
        """Some of a message has come, and not all: see that it keeps to the limits."""
        if not self.in_body:
            if self._fed > self._head_limit:
                raise self._too_large()
        elif self._length != UNKNOWN:
            self._left = self._length - self._body  # the rest goes past the parser
        elif self._fed > _FRAMING_ALLOWED + 17 * self._body + self._head_limit:
            raise Malformed("the chunks are mostly framing")

    def _check_size(self) -> None:
        """See that a complete head keeps to the limits."""
        headers = self._headers
        if len(headers) > self._headers_limit or (
            self._fed > self._head_limit and sum(len(n) + len(v) + 4 for n, v in headers) > self._head_limit
        ):
            raise self._too_large()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Forget the message before: the first byte of the next has come."""
        self._headers = []
        self._found = {}
        self._body = 0
        self.in_message = True

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body += len(data)
        self._events.append(data)

    def on_message_complete(self) -> None:
        """End the message."""
        self.in_message = self.in_body = False
        self._fed = 0
        self._events.append(END)
