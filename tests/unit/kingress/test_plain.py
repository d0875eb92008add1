"""What is read in a few steps is what the reader of all requests makes of it; everything else is left to that one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.malformed import GET, REFUSED

from kingress.forwarded import Forwarding
from kingress.h1.plain import PlainReader
from kingress.h1.requests import RequestReader
from kingress.h1.writer import request_head
from kingress.message import END, Request

SHARED = PlainReader()  # as by all connections of a process: whatever it was given before
BROWSER = (
    b"GET /goods/17?visit=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\nUser-Agent: Mozilla/5.0\r\n"
    b"Accept: text/html\r\nReferer: http://shop.example/\r\nAccept-Encoding: gzip\r\nCookie: session=1; theme=dark\r\n"
    b"\r\n"
)


def whole(raw: bytes) -> Request | None:
    """What the reader of all requests makes of bytes, where they are one request without a body."""
    events = RequestReader().feed(raw)
    return events[0] if len(events) == 2 and events[1] is END else None


def forwarded(request: Request) -> Request | None:
    """The request as an upstream reads it."""
    return whole(request_head(request, Forwarding("192.0.2.1", "http", 80), None, b"1"))


def agrees(raw: bytes) -> bool:
    """Whether bytes are read; where they are, that it is as by the other reader, and forwarded as by that."""
    read = SHARED.read(raw)
    if read is None:
        return False
    other = whole(raw)
    assert other is not None
    assert read.again() == other
    assert forwarded(read) == forwarded(other)
    return True


@pytest.mark.parametrize(
    "raw",
    [
        BROWSER,
        BROWSER.replace(b"keep-alive", b"close"),
        BROWSER.replace(b"GET", b"HEAD"),
        b"GET / HTTP/1.1\r\nhost: shop.example\r\nconnection: keep-alive\r\nuser-agent: node\r\naccept: */*\r\n\r\n",
        b"GET /a%2Fb HTTP/1.1\r\nX-Empty:\r\nHost: shop.example:80\r\nX-Odd: \xff\r\n\r\n",
    ],
)
def test_what_clients_send_most_is_read_as_by_the_reader_of_all_requests(raw: bytes) -> None:
    assert agrees(raw)


@pytest.mark.parametrize(
    "raw",
    [
        *(raw for raw, _ in REFUSED.values()),
        BROWSER + BROWSER,
        BROWSER[:-1],
        BROWSER + b"\r\n",
        b"\r\n" + BROWSER,
        BROWSER.replace(b"/goods", b"/./goods"),
        BROWSER.replace(b"/goods", b" /goods"),
        BROWSER.replace(b"Referer", b"X-Forwarded-For"),
        BROWSER.replace(b"Referer", b"Under_Score"),
        BROWSER.replace(b"Referer", b"Cookie"),
        BROWSER.replace(b"Referer", b"host"),
        BROWSER.replace(b"Referer", b"TE"),
        BROWSER.replace(b"GET", b"POST"),
        BROWSER.replace(b"keep-alive", b"Cookie"),
        BROWSER.replace(b"keep-alive", b""),
        BROWSER.replace(b"Referer", b"user-agent"),
        BROWSER.replace(b"HTTP/1.1", b"HTTP/1.0"),
        BROWSER.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n"),
        BROWSER.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\n\r\n").replace(b"keep-alive", b"Upgrade"),
    ],
)
def test_what_is_not_plain_is_left_to_the_other_and_harms_no_request_after_it(raw: bytes) -> None:
    assert SHARED.read(raw) is None
    assert agrees(BROWSER)


LINES = st.sampled_from(
    [
        *BROWSER.split(b"\r\n")[1:-2],
        b"host: shop.example",
        b"Connection: close",
        b"connection:keep-alive",
        b"Connection: keep-alive, Cookie",
        b"Connection:",
        b"User-Agent: x",
        b"user-agent: y",
        b"Content-Length: 0",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"X-Forwarded-For: 1.2.3.4",
        b"X_Forwarded_For: 1.2.3.4",
        b"X-Spaced: \t a \t",
        b"X-Empty:",
        b" folded",
        b"",
        b"GET / HTTP/1.1",
    ]
)
FIRST = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"HEAD /a?b HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /%61/../b HTTP/1.1",
        b"GET http://shop.example/ HTTP/1.1",
    ]
)
HEADS = st.builds(
    lambda first, host, lines: b"\r\n".join([first, *host, *lines, b"", b""]),
    FIRST,
    st.sampled_from([[b"Host: shop.example"], []]),
    st.lists(LINES, max_size=6),
)
EDITS = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 2), st.sampled_from(b"\r\n\t :\0_,;a\xff\x7fH/")), max_size=3
)


@given(HEADS, EDITS)
def test_it_agrees_with_the_other_on_whatever_it_reads(raw: bytes, edits: list[tuple[int, int, int]]) -> None:
    changed = bytearray(raw)
    for at, removed, code in edits:
        changed[at % len(changed) : at % len(changed) + removed] = bytes((code,))
    for each in (raw, bytes(changed)):
        agrees(each)
        agrees(each)  # and again, when it is remembered
    assert agrees(BROWSER)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(raw: bytes) -> None:
    agrees(raw)
    agrees(GET + raw)
    agrees(GET + raw + b"\r\n\r\n")


def test_a_head_is_remembered_once_it_came_twice_and_never_too_many() -> None:
    reader = PlainReader()
    first, second, third = (reader.read(BROWSER) for _ in range(3))
    assert first is not second
    assert second is third
    most = 0
    for number in range(5000):
        head = b"GET /%d HTTP/1.1\r\nHost: shop.example\r\nX-%d: 1\r\n\r\n" % (number, number)
        assert reader.read(head) is not reader.read(head) is reader.read(head)
        most = max(most, len(reader._heads))
    assert most == 1024
    assert len(reader._once) <= 1024
    assert len(reader._names) <= 1024


def test_a_head_beyond_the_limits_is_left_to_the_other() -> None:
    small = PlainReader(head_limit=len(BROWSER), headers_limit=7, target_limit=17)
    assert small.read(BROWSER) is not None
    for more in (b"/goods/170?visit=1", b"/goods/17?visit=1 HTTP/1.1\r\nX: 1\r\nY"):
        assert small.read(BROWSER.replace(b"/goods/17?visit=1", more)) is None
    assert PlainReader(headers_limit=6).read(BROWSER) is None
    assert PlainReader(target_limit=16).read(BROWSER) is None
