"""Reads HTTP/1 from bytes, strictly: the part that requests and responses share. No sockets.

The syntax is llhttp's (through httptools, in C), which refuses bare line feeds, folded lines, bad chunks and conflicting
lengths. What it lets pass and a proxy must not is refused by the two readers built on this one.

`feed` turns bytes into messages: a head, then pieces of the body as `bytes`, then `END`. A body of known length that goes
on beyond the first bytes is counted here and not shown to the parser: nothing in it is looked at.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Final

import httptools

from kingress.message import END, UNKNOWN

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


class Reader(ABC):
    """Turns the bytes of one connection into messages of one kind."""

    def __init__(self, head_limit: int, headers_limit: int) -> None:
        self._head_limit = head_limit
        self._headers_limit = headers_limit
        self._parser: Any = None
        self._events: list[Any] = []
        self._left = 0  # of a body whose length is known and that the parser does not see
        self._fresh()

    @abstractmethod
    def _new_parser(self) -> Any:
        """Give a parser that calls this reader."""

    @abstractmethod
    def _too_large(self) -> Exception:
        """Give the error for a head beyond its limits."""

    def _fresh(self) -> None:
        """Be at the beginning of a message, with a parser that remembers nothing."""
        self._parser = self._new_parser()
        self.on_message_begin()
        self._in_message = False

    @property
    def between_messages(self) -> bool:
        """Whether nothing of a next message has arrived."""
        return not self._in_message

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and not ended."""
        return self._in_message and not self._in_body

    def feed(self, data: bytes) -> list[Any]:
        """Give the messages and parts of messages that `data` completes. Raises what the subclass names."""
        self._events = events = []
        if self._left:
            data = self._pass(data)
            if not data:
                return events
        if self._in_body:
            self._framing += len(data)
        else:
            self._fed += len(data)
        self._parse(data)
        if self._in_body:
            self._check_body()
        elif self._fed > self._head_limit and self._in_message:
            raise self._too_large()
        return events

    def _parse(self, data: bytes) -> None:
        self._parser.feed_data(data)

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
        self._fresh()
        return data[left:]

    def _check_body(self) -> None:
        if self._length == UNKNOWN:
            if self._framing > _FRAMING_ALLOWED + 16 * self._body:
                raise Malformed("the chunks are mostly framing")
        else:
            self._left = self._length - self._body  # the rest goes past the parser

    # What httptools calls. Each message begins and ends here.

    def on_message_begin(self) -> None:
        """Forget the message before: the first byte of the next has come."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._count = 0
        self._size = 0
        self._fed = 0
        self._framing = 0
        self._body = 0
        self._length = 0
        self._in_message = True
        self._in_body = False

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body += len(data)
        self._framing -= len(data)
        self._events.append(data)

    def on_message_complete(self) -> None:
        """End the message."""
        self._in_message = self._in_body = False
        self._fed = 0
        self._events.append(END)

    def _count_header(self, name: bytes, value: bytes) -> None:
        self._count += 1
        self._size += len(name) + len(value)
        if self._count > self._headers_limit or self._size > self._head_limit:
            raise self._too_large()
