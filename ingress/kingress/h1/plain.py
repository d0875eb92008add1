"""Reads plain requests, which are a head and nothing else, in a few steps. No sockets.

llhttp is the judge here as it is in `kingress.h1.requests`, but what it finds goes straight into a dictionary, without
a step in Python for each header. Then the names are looked at: where all are of headers that are simply passed on, the
bytes of the head are forwarded as they came. What is not as plain as that, or wrong, is left to the reader of all
requests, which makes the same of every head that is read here (`tests/unit/kingress/test_plain.py`).

All connections share one: names that were judged once need not be judged again, and a head that comes again and again,
byte for byte, is not read at all.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from kingress.h1.reader import REMEMBERED, remember
from kingress.headers import REQUEST_SPECIAL
from kingress.message import Request
from kingress.target import BadTarget, host_of, normal_target

_LONGEST_NAME: Final = 64
_METHODS: Final = (b"GET ", b"HEAD ")  # those without a body
_LINE_END: Final = b" HTTP/1.1\r\n"  # of the first line
_LOGGED: Final = frozenset((b"user-agent", b"referer"))  # passed on, and looked for in one of these spellings
_SPELLINGS: Final = (*_LOGGED, b"User-Agent", b"Referer")


class PlainReader:
    """Gives the request that some bytes are, where they are exactly one that is plain."""

    def __init__(self, head_limit: int = 32768, headers_limit: int = 100, target_limit: int = 8192) -> None:
        self._head_limit = head_limit
        self._headers_limit = headers_limit
        self._target_limit = target_limit
        self._heads: dict[bytes, Request] = {}  # that came lately, and more than once, with what they mean
        self._once: set[int] = set()  # hashes of those that came once: heads of which most never come again
        self._names = set(_SPELLINGS)  # of headers that are simply passed on, as they are written
        self._found: dict[bytes, bytes] = {}
        self._targets: list[bytes] = []
        self._complete = False
        # What httptools calls, beside `on_message_complete`.
        self.on_header = self._found.setdefault
        self.on_url = self._targets.append
        self._parser: Any = httptools.HttpRequestParser(self)

    def on_message_complete(self) -> None:
        """Note that the parser has seen the end of the request."""
        self._complete = True

    def read(self, data: bytes) -> Request | None:
        """Give the request that `data` is; None where it is not one that is plain."""
        return self._heads.get(data) or self._read(data)

    def _read(self, data: bytes) -> Request | None:
        if not data.startswith(_METHODS) or not data.endswith(b"\r\n\r\n") or len(data) > self._head_limit:
            return None
        request = self._parse(data)
        self._found.clear()
        self._targets.clear()
        if request is None:
            self._parser = httptools.HttpRequestParser(self)  # this one may be amid something
        else:
            self._note(data, request)
        return request

    def _note(self, data: bytes, request: Request) -> None:
        """Keep what a head means once it has come twice."""
        mark, once = hash(data), self._once
        if mark in once:
            remember(self._heads, data, request)
            return
        if len(once) >= REMEMBERED:
            once.clear()
        once.add(mark)

    def _parse(self, data: bytes) -> Request | None:
        self._complete = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        found, targets = self._found, self._targets
        count = len(found)
        # Each line is of a header of its own, and nothing is before, between or after them.
        if not self._complete or len(targets) != 1 or count > self._headers_limit or data.count(b"\n") != count + 2:
            return None
        (target,) = targets
        method = "GET" if data.startswith(b"G") else "HEAD"
        begins = len(method) + 1
        ends = begins + len(target)
        if len(target) > self._target_limit or not (
            data.startswith(target, begins) and data.startswith(_LINE_END, ends)
        ):
            return None
        authority = found.pop(b"Host" if b"Host" in found else b"host", b"")
        connection = found.pop(b"Connection" if b"Connection" in found else b"connection", None)
        if not self._names.issuperset(found) and not self._learn():
            return None
        return self._request(data, method, target, authority, connection)

    def _learn(self) -> bool:
        """Judge names that are new; gives whether all are of headers that are simply passed on."""
        names = self._names
        for name in self._found:
            lower = name.lower()
            if name in names:
                continue
            if lower in REQUEST_SPECIAL or lower in _LOGGED or b"_" in name or len(name) > _LONGEST_NAME:
                return False
            if len(names) >= REMEMBERED:
                names.clear()
                names.update(_SPELLINGS)
            names.add(name)
        return True

    def _request(
        self, data: bytes, method: str, target: bytes, authority: bytes, connection: bytes | None
    ) -> Request | None:
        try:
            normal, path = normal_target(target)
            host = host_of(authority)
        except BadTarget:
            return None
        if normal != target:
            return None  # it is not forwarded as it came
        found = self._found
        request = Request(method, target, path, authority, host, list(found.items()))
        agent, referer = self._either(b"User-Agent", b"user-agent"), self._either(b"Referer", b"referer")
        if agent is None or referer is None:
            return None
        request.agent, request.referer = agent, referer
        request.wire = data[:-2]
        return request if connection is None else self._without_connection(request, connection)

    def _either(self, upper: bytes, lower: bytes) -> bytes | None:
        """Give the value of a header by whichever of its spellings; None where it has two."""
        found = self._found
        if lower not in found:
            return found.get(upper, b"")
        return None if upper in found else found[lower]

    def _without_connection(self, request: Request, connection: bytes) -> Request | None:
        """Do what Connection says, which ends here, where it says nothing unusual."""
        said = connection.lower()
        if said == b"close":
            request.last = True
            self._parser = httptools.HttpRequestParser(self)  # after this it would read nothing more
        elif said != b"keep-alive":
            return None
        whole = request.wire
        for name in (b"Connection", b"connection"):
            line = b"\r\n%b: %b\r\n" % (name, connection)
            if line in whole:
                request.wire = whole.replace(line, b"\r\n", 1)
                return request
        return None
