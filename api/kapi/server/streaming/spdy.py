"""The frames of SPDY/3.1, from bytes and to bytes. Pure, but for the state of its header compression.

Source: "SPDY Protocol - Draft 3.1", sections 2.2 (frames), 2.6 (control frames) and 2.6.10 (name/value blocks). What
Kubernetes' clients use of it is here; they take no part in flow control, and so there is none.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 1
_HEAD = 8
_LARGEST_FRAME = 1 << 20
_LARGEST_HEADERS = 1 << 16
_PIECE = 1 << 15  # bytes of data that are sent in one frame

# What compression starts from (2.6.10.1): the names of headers, each with its length, and then words of their values.
_NAMES = """
    options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
    authorization cache-control connection content-base content-encoding content-language content-length
    content-location content-md5 content-range content-type date etag expect expires from host if-match
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
    user-agent vary via warning www-authenticate method get status
"""
_PAIRS = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_WORDS = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug "
    "Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack("!I", len(name)) + name.encode() for name in (*_NAMES.split(), *_PAIRS)) + _WORDS.encode()
)


class ProtocolError(Exception):
    """The peer sent what is no SPDY/3.1, or more than is taken."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream was opened; `headers` have lower-case names. With `last` nothing more comes on it."""

    stream: int
    headers: Mapping[str, str]
    last: bool


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream."""

    stream: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """The peer wants this frame back: `frame` is all of it."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The peer opens no more streams."""


Frame = Opened | Data | Reset | Ping | GoingAway


class Reader:
    """Takes bytes as they come, and gives the frames they complete. Raises ProtocolError."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that are complete by now."""
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            first, second = struct.unpack_from("!II", self._buffer)
            length = second & 0xFF_FFFF
            if length > _LARGEST_FRAME:
                raise ProtocolError(f"a frame of {length} bytes")
            if len(self._buffer) < _HEAD + length:
                return
            whole = bytes(self._buffer[: _HEAD + length])
            del self._buffer[: _HEAD + length]
            frame = self._frame(first, second >> 24, whole)
            if frame is not None:
                yield frame

    def _frame(self, first: int, flags: int, whole: bytes) -> Frame | None:
        body = whole[_HEAD:]
        if not first >> 31:
            return Data(first, body, bool(flags & _FIN))
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != _VERSION:
            raise ProtocolError(f"a frame of SPDY/{version}")
        if kind == _SYN_STREAM:
            return Opened(_number(body), self._pairs(body[10:]), bool(flags & _FIN))
        if kind == _RST_STREAM:
            return Reset(_number(body))
        if kind == _PING:
            return Ping(whole)
        if kind == _GOAWAY:
            return GoingAway()
        if kind in (_SYN_REPLY, _HEADERS):
            self._pairs(body[4:])  # nobody needs them, but the compression's state does
        return None  # settings and windows

    def _pairs(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._headers.decompress(block, _LARGEST_HEADERS)
            if self._headers.unconsumed_tail:
                raise ProtocolError("headers that are too large")
            return dict(_read_pairs(plain))
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"headers that cannot be read: {error}") from error


class Writer:
    """Makes the frames to send."""

    def __init__(self) -> None:
        self._headers = zlib.compressobj(zdict=DICTIONARY)

    def accepted(self, stream: int) -> bytes:
        """The answer to an opened stream: it is taken."""
        block = self._headers.compress(struct.pack("!I", 0)) + self._headers.flush(zlib.Z_SYNC_FLUSH)
        return _control(_SYN_REPLY, struct.pack("!I", stream) + block)

    @staticmethod
    def data(stream: int, data: bytes) -> bytes:
        """Bytes of a stream, in as many frames as they take."""
        pieces = (data[start : start + _PIECE] for start in range(0, len(data), _PIECE))
        return b"".join(struct.pack("!II", stream, len(piece)) + piece for piece in pieces)

    @staticmethod
    def end(stream: int) -> bytes:
        """Nothing more comes on a stream from this side."""
        return struct.pack("!II", stream, _FIN << 24)

    @staticmethod
    def reset(stream: int) -> bytes:
        """A stream is given up (status 5: CANCEL)."""
        return _control(_RST_STREAM, struct.pack("!II", stream, 5))


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack("!HHI", 0x8000 | _VERSION, kind, len(body)) + body


def _number(body: bytes) -> int:
    if len(body) < 4:
        raise ProtocolError("a frame that is too short")
    return int(struct.unpack_from("!I", body)[0]) & 0x7FFF_FFFF


def _read_pairs(plain: bytes) -> Iterator[tuple[str, str]]:
    (count,) = struct.unpack_from("!I", plain)
    position = 4
    for _ in range(count):
        words = []
        for _ in ("name", "value"):
            (length,) = struct.unpack_from("!I", plain, position)
            words.append(plain[position + 4 : position + 4 + length].decode())
            position += 4 + length
        yield words[0].lower(), words[1]
