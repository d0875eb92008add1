from __future__ import annotations

import pytest

from kingress.proxyprotocol import BadPreface, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = b"\xc0\x00\x02\x01" + b"\x0a\x00\x00\x01" + b"\x10\x00\x00\x50"
V6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07" + bytes(16) + b"\x10\x00\x00\x50"

GOOD = [
    (b"PROXY TCP4 192.0.2.1 10.0.0.1 4096 80\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:db8::7 ::1 4096 80\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4096 80\r\n", "192.0.2.1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n", ""),
    (SIGNATURE + b"\x21\x11\x00\x0c" + V4, "192.0.2.1"),
    (SIGNATURE + b"\x21\x21\x00\x24" + V6, "2001:db8::7"),
    (SIGNATURE + b"\x21\x21\x00\x24" + bytes(10) + b"\xff\xff" + V4[:4] + V6[16:], "192.0.2.1"),
    (SIGNATURE + b"\x21\x11\x00\x10" + V4 + b"\x04\x00\x01x", "192.0.2.1"),
    (SIGNATURE + b"\x20\x00\x00\x00", ""),
    (SIGNATURE + b"\x21\x31\x00\x02xx", ""),
]


@pytest.mark.parametrize(("header", "address"), GOOD)
def test_a_header_tells_the_client_and_where_it_ends(header: bytes, address: str) -> None:
    assert parse(header + b"GET / HTTP/1.1\r\n") == (len(header), address)
    for cut in range(len(header)):
        assert parse(header[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
        b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x31\x11\x00\x0c" + V4,
        SIGNATURE + b"\x21\x11\x00\x04" + V4,
        SIGNATURE + b"\x21\x11\xff\xff" + V4,
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(BadPreface):
        parse(data)
