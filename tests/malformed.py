"""Requests that must never be forwarded, as bytes, each with the status that it is answered with.

Each is a way in which two servers could see different requests, or a limit. They are read by the reader alone, whole
and byte by byte (`tests/unit/kingress/test_requests.py`), and sent through a running ingress to an endpoint that keeps
all it gets (`tests/kernel/kingress/test_strict.py`).
"""

from __future__ import annotations

from typing import Final

HOST: Final = b"Host: shop.example\r\n"
GET: Final = b"GET / HTTP/1.1\r\n" + HOST
POST: Final = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED: Final = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

REFUSED: Final[dict[str, tuple[bytes, int]]] = {
    # Framing
    "both lengths": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths, the other way round": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "chunked, then gzip": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "gzip, then chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in two headers": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "an empty coding first": (POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 501),
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "chunked with a vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked with a form feed": (POST + b"Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n", 400),
    "chunked with NUL": (POST + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", 400),
    "chunked with a no-break space": (POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n", 501),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "two equal lengths": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "a length with plus": (POST + b"Content-Length: +5\r\n\r\nhello", 400),
    "a length with minus": (POST + b"Content-Length: -0\r\n\r\n", 400),
    "a hexadecimal length": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "a length with underscore": (POST + b"Content-Length: 1_0\r\n\r\nhellohello", 400),
    "an empty length": (POST + b"Content-Length: \r\n\r\n", 400),
    "a length with a space": (POST + b"Content-Length: 1 0\r\n\r\nhellohello", 400),
    "a length too large": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "a length with leading zeros": (POST + b"Content-Length: 05\r\n\r\nhello", 400),
    # Syntax
    "bare line feeds": (b"GET / HTTP/1.1\nHost: shop.example\n\n", 400),
    "a bare line feed in a header": (GET + b"X: a\nY: b\r\n\r\n", 400),
    "a bare carriage return": (GET + b"X: a\rY: b\r\n\r\n", 400),
    "a folded line": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a folded length": (POST + b"Content-Length:\r\n 5\r\n\r\nhello", 400),
    "a space before the colon": (GET + b"X : a\r\n\r\n", 400),
    "a tab before the colon": (GET + b"X\t: a\r\n\r\n", 400),
    "a space before the first header": (b"GET / HTTP/1.1\r\n Host: shop.example\r\n\r\n", 400),
    "a line without colon": (GET + b"nothing\r\n\r\n", 400),
    "an empty name": (GET + b": a\r\n\r\n", 400),
    "a name with brackets": (GET + b"[x]: a\r\n\r\n", 400),
    "a name with a high byte": (GET + b"x\x85: a\r\n\r\n", 400),
    "NUL in a value": (GET + b"X: a\x00b\r\n\r\n", 400),
    "a control in a value": (GET + b"X: a\x01b\r\n\r\n", 400),
    "NUL in the target": (b"GET /\x00 HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a high byte in the target": (b"GET /\xe9 HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a tab in the request line": (b"GET\t/ HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a method that is no token": (b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a method in small letters": (b"get / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: shop.example\r\n\r\n", 400),
    "version 2.0": (b"GET / HTTP/2.0\r\nHost: shop.example\r\n\r\n", 505),
    "version 1.32": (b"GET / HTTP/1.32\r\nHost: shop.example\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    # Host
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (GET + b"Host: b\r\n\r\n", 400),
    "two equal Hosts": (GET + b"Host: shop.example\r\n\r\n", 400),
    "a list of Hosts": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "a Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "a Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a Host that the target contradicts": (b"GET http://b/ HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a target of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "GET *": (b"GET * HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 405),
    # Path
    "an escaped NUL": (b"GET /%00 HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a path above the root": (b"GET /../x HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a backslash": (b"GET /a\\..\\b HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    "a fragment": (b"GET /a#b HTTP/1.1\r\nHost: shop.example\r\n\r\n", 400),
    # Limits
    "too many headers": (GET + b"X: a\r\n" * 101 + b"\r\n", 431),
    "a header too large": (GET + b"X: " + b"a" * 40000 + b"\r\n\r\n", 431),
    "a head that does not end": (GET + b"X: " + b"a" * 40000, 431),
    "a target too large": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: shop.example\r\n\r\n", 414),
    "an unknown expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417),
}

# What follows the head CHUNKED; all are answered with 400.
BAD_BODIES: Final[dict[str, bytes]] = {
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size with underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space after the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "a tab after the size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "a size too large": b"fffffffffffffffff\r\nhello",
    "no line end after the data": b"5\r\nhello0\r\n\r\n",
    "more data than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "a line feed alone after the size": b"5\nhello\r\n0\r\n\r\n",
    "a carriage return alone after the size": b"5\rhello\r\n0\r\n\r\n",
    "a line feed alone after the data": b"5\r\nhello\n0\r\n\r\n",
    "a line feed in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a carriage return in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a huge extension": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "a line feed alone at the end": b"5\r\nhello\r\n0\r\n\n",
    "a bad trailer": b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    "a length in a trailer": b"5\r\nhello\r\n0\r\nContent-Length: 44\r\n\r\n",
    "a coding in a trailer": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a second Host in a trailer": b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
}
