"""The options of EDNS that are answered: cookies, the server's name, and for how long a connection may idle.

Cookies (RFC 7873, in the form of RFC 9018) let a client that has one know a reply for ours. Nothing is refused for want
of one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kdns.query import Query

_NSID, _COOKIE, _KEEPALIVE = 3, 10, 11
_CLIENT_COOKIE = 8  # octets; what follows is the server's


@dataclass(frozen=True, slots=True)
class Options:
    """What is known for answering options. `secret` makes the cookies; `idle` is in seconds."""

    secret: bytes
    clock: Callable[[], float]
    nsid: str = ""
    idle: float = 10.0

    def answer(self, query: Query, *, stream: bool) -> bytes:
        """Give the options that go with a reply, as octets."""
        return b"".join(self._one(code, data, query, stream=stream) for code, data in _read(query.options))

    def _one(self, code: int, data: bytes, query: Query, *, stream: bool) -> bytes:
        if code == _NSID and self.nsid:
            return _option(code, self.nsid.encode())
        if code == _COOKIE and len(data) >= _CLIENT_COOKIE:
            return _option(code, data[:_CLIENT_COOKIE] + self._cookie(data[:_CLIENT_COOKIE], query.client))
        if code == _KEEPALIVE and stream:
            return _option(code, int(self.idle * 10).to_bytes(2, "big"))  # RFC 7828: in tenths of a second
        return b""

    def _cookie(self, client_cookie: bytes, client: str) -> bytes:
        head = struct.pack("!BxxxI", 1, int(self.clock()) & 0xFFFFFFFF)
        mark = hashlib.blake2b(client_cookie + head + client.encode(), key=self.secret, digest_size=8)
        return head + mark.digest()


def _read(options: bytes) -> Iterator[tuple[int, bytes]]:
    """Go through options; what is cut short is left out. dnslib would not see an empty one that comes last."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from("!HH", options, at)
        at += 4 + length
        if at <= len(options):
            yield code, options[at - length : at]


def _option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data
