"""The options of EDNS that are answered: cookies, the server's name, and for how long a connection may idle.

Cookies (RFC 7873, in the form of RFC 9018) let a client that has one know a reply for ours, and us know a client that
is where it says it is. Nothing is refused for want of one.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass

from kdns.query import CLIENT_COOKIE, COOKIE, Query, options_of

_NSID, _KEEPALIVE = 3, 11
_SERVER_COOKIE = 16  # octets: version, reserved, time, hash
_OLDEST, _NEWEST = 3600, 300  # seconds that a cookie may be old, and may be ahead (RFC 9018 section 4.3)


@dataclass(frozen=True, slots=True)
class Options:
    """What is known for answering options. `secret` makes the cookies; `idle` is in seconds."""

    secret: bytes
    clock: Callable[[], float]
    nsid: str = ""
    idle: float = 10.0

    def answer(self, query: Query, *, stream: bool) -> bytes:
        """Give the options that go with a reply, as octets."""
        return b"".join(self._one(code, data, query, stream=stream) for code, data in options_of(query.options))

    def knows(self, query: Query) -> bool:
        """Whether a client shows a cookie that it got here lately: then its address is its own."""
        return any(self._is_ours(data, query) for code, data in options_of(query.options) if code == COOKIE)

    def _is_ours(self, data: bytes, query: Query) -> bool:
        if len(data) != CLIENT_COOKIE + _SERVER_COOKIE:
            return False
        (made,) = struct.unpack_from("!I", data, CLIENT_COOKIE + 4)
        age = int(self.clock()) - made
        ours = self._cookie(data[:CLIENT_COOKIE], made, query.client)
        return -_NEWEST <= age <= _OLDEST and hmac.compare_digest(ours, data[CLIENT_COOKIE:])

    def _one(self, code: int, data: bytes, query: Query, *, stream: bool) -> bytes:
        if code == _NSID and self.nsid:
            return _option(code, self.nsid.encode())
        if code == COOKIE:
            client = data[:CLIENT_COOKIE]
            return _option(code, client + self._cookie(client, int(self.clock()), query.client))
        if code == _KEEPALIVE and stream:
            return _option(code, int(self.idle * 10).to_bytes(2, "big"))  # RFC 7828: in tenths of a second
        return b""

    def _cookie(self, client_cookie: bytes, made: int, client: str) -> bytes:
        head = struct.pack("!BxxxI", 1, made & 0xFFFFFFFF)
        mark = hashlib.blake2b(client_cookie + head + client.encode(), key=self.secret, digest_size=8)
        return head + mark.digest()


def _option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data
