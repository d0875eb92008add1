"""What a request may look like. Each refusal here is a way in which two servers could see different requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kingress.h1.requests import RequestReader
from kingress.message import END, UNKNOWN, Refused, Request

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def head(raw: bytes) -> Any:
    """The first thing that the reader makes of bytes."""
    return RequestReader().feed(raw)[0]


REFUSED: dict[str, tuple[bytes, int]] = {
    # Framing
    "both lengths": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "both lengths, the other way round": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
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
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a bare line feed in a header": (GET + b"X: a\nY: b\r\n\r\n", 400),
    "a bare carriage return": (GET + b"X: a\rY: b\r\n\r\n", 400),
    "a folded line": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a folded length": (POST + b"Content-Length:\r\n 5\r\n\r\nhello", 400),
    "a space before the colon": (GET + b"X : a\r\n\r\n", 400),
    "a tab before the colon": (GET + b"X\t: a\r\n\r\n", 400),
    "a space before the first header": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a line without colon": (GET + b"nothing\r\n\r\n", 400),
    "an empty name": (GET + b": a\r\n\r\n", 400),
    "a name with brackets": (GET + b"[x]: a\r\n\r\n", 400),
    "a name with a high byte": (GET + b"x\x85: a\r\n\r\n", 400),
    "NUL in a value": (GET + b"X: a\x00b\r\n\r\n", 400),
    "a control in a value": (GET + b"X: a\x01b\r\n\r\n", 400),
    "NUL in the target": (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a high byte in the target": (b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a tab in the request line": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method in small letters": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "version 2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "version 1.32": (b"GET / HTTP/1.32\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    # Host
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (GET + b"Host: b\r\n\r\n", 400),
    "two equal Hosts": (GET + b"Host: a\r\n\r\n", 400),
    "a list of Hosts": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "a Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "a Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a Host that the target contradicts": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "GET *": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    # Path
    "an escaped NUL": (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a path above the root": (b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a backslash": (b"GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    # Limits
    "too many headers": (GET + b"X: a\r\n" * 101 + b"\r\n", 431),
    "a header too large": (GET + b"X: " + b"a" * 40000 + b"\r\n\r\n", 431),
    "a head that does not end": (GET + b"X: " + b"a" * 40000, 431),
    "a target too large": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "an unknown expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_head_is_refused(name: str) -> None:
    raw, status = REFUSED[name]
    refused = head(raw)
    assert isinstance(refused, Refused), refused
    assert refused.status == status, refused


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_as_well_when_it_comes_byte_by_byte(name: str) -> None:
    raw, _ = REFUSED[name]
    reader = RequestReader()
    events = [event for i in range(len(raw)) for event in reader.feed(raw[i : i + 1])]
    assert isinstance(events[0], Refused), events


BAD_BODIES: dict[str, bytes] = {
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
    "a huge extension": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "a line feed alone at the end": b"5\r\nhello\r\n0\r\n\n",
    "a bad trailer": b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    "a second Host in a trailer": b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_chunk_is_refused(name: str) -> None:
    reader = RequestReader()
    assert isinstance(reader.feed(CHUNKED)[0], Request)
    events = [event for part in chunks_of(BAD_BODIES[name], 4096) for event in reader.feed(part)]
    assert isinstance(events[-1], Refused)
    assert END not in events


def chunks_of(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def test_trailers_and_extensions_are_dropped() -> None:
    events = RequestReader().feed(CHUNKED + b"5;x=y\r\nhello\r\n0\r\nX-Trailer: a\r\nAuthorization: b\r\n\r\n")
    assert events[1:] == [b"hello", END]
    assert events[0].headers == []


def test_framing_without_data_is_refused() -> None:
    reader = RequestReader()
    reader.feed(CHUNKED)
    events = [event for _ in range(4000) for event in reader.feed(b"1;" + b"x" * 60 + b"\r\na\r\n")]
    assert isinstance(events[-1], Refused)


@pytest.mark.parametrize(
    ("raw", "length", "last"),
    [
        (GET + b"\r\n", 0, False),
        (b"\r\n" + GET + b"\r\n", 0, False),
        (POST + b"Content-Length: 0\r\n\r\n", 0, False),
        (POST + b"Content-Length: 5\r\n\r\n", 5, False),
        (CHUNKED, UNKNOWN, False),
        (POST + b"Transfer-Encoding: Chunked\r\n\r\n", UNKNOWN, False),
        (GET + b"Connection: close\r\n\r\n", 0, True),
        (b"GET / HTTP/1.0\r\n\r\n", 0, True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, False),
    ],
)
def test_a_plain_request_is_read(raw: bytes, length: int, *, last: bool) -> None:
    request = head(raw)
    assert isinstance(request, Request)
    assert (request.length, request.last) == (length, last)


@pytest.mark.parametrize("line", [b"GET  / HTTP/1.1", b"GET /  HTTP/1.1"])
def test_extra_spaces_in_the_request_line_are_read_as_one_and_never_forwarded(line: bytes) -> None:
    assert head(line + b"\r\nHost: a\r\n\r\n").target == b"/"


def test_headers_that_end_at_a_hop_go_no_further() -> None:
    request = head(
        GET + b"Connection: close, X-Hop, Cookie, Authorization\r\nX-Hop: 1\r\nCookie: c\r\nAuthorization: b\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: X\r\nProxy-Authorization: y\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: z\r\nAccept: */*\r\nX_Under: 1\r\n\r\n"
    )
    assert request.headers == [(b"Cookie", b"c"), (b"Authorization", b"b"), (b"Accept", b"*/*")]
    assert request.upgrade == b""


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        (b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n", b"websocket"),
        (b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", b"websocket"),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b""),
        (b"Upgrade: websocket\r\n", b""),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", b""),
    ],
)
def test_only_a_websocket_upgrade_goes_through(headers: bytes, granted: bytes) -> None:
    assert head(GET + headers + b"\r\n").upgrade == granted


def test_bytes_after_an_upgrade_are_held_until_it_is_decided() -> None:
    asking = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    granted = RequestReader()
    assert len(granted.feed(asking + b"\x81\x01")) == 2
    assert granted.feed(b"x") == []
    assert granted.held() == b"\x81\x01x"
    refused = RequestReader()
    refused.feed(asking + GET)
    assert isinstance(refused.feed(b"\r\n") or refused.resume()[0], Request)


def test_requests_in_one_packet_are_read_one_after_the_other() -> None:
    events = RequestReader().feed(
        POST + b"Content-Length: 2\r\n\r\nab" + CHUNKED + b"1\r\nc\r\n0\r\n\r\n" + GET + b"\r\n"
    )
    assert [event for event in events if not isinstance(event, Request)] == [b"ab", END, b"c", END, END]


def test_nothing_is_read_after_a_request_that_said_it_is_the_last() -> None:
    reader = RequestReader()
    events = reader.feed(GET + b"Connection: close\r\n\r\n" + GET + b"\r\n")
    assert len(events) == 2
    assert reader.feed(GET) == []


def test_a_long_body_is_counted_and_what_follows_is_the_next_request() -> None:
    reader = RequestReader()
    reader.feed(POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 10)
    events = [event for part in chunks_of(b"b" * 99990 + GET + b"\r\n", 7777) for event in reader.feed(part)]
    body = [event for event in events if isinstance(event, bytes)]
    assert sum(map(len, body)) == 99990
    assert isinstance(events[-2], Request)


MESSAGES = st.lists(
    st.sampled_from(
        [
            GET + b"\r\n",
            POST + b"Content-Length: 7\r\n\r\nGET / H",
            CHUNKED + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ]
    ),
    min_size=1,
    max_size=4,
)


@given(MESSAGES, st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_how_bytes_are_cut_into_packets_changes_nothing(messages: list[bytes], cuts: list[int]) -> None:
    def summary(events: list[Any]) -> list[Any]:
        """Heads and ends, and each body joined."""
        found: list[Any] = []
        for event in events:
            if type(event) is bytes and found and type(found[-1]) is bytes:
                found[-1] += event
            else:
                found.append(event)
        return found

    raw = b"".join(messages)
    reader, pieces, at = RequestReader(), [], 0
    for cut in [*cuts, len(raw)]:
        pieces += reader.feed(raw[at : at + cut])
        at += cut
    assert summary(pieces) == summary(RequestReader().feed(raw))


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(raw: bytes) -> None:
    RequestReader().feed(raw)
    RequestReader().feed(GET + raw)
    RequestReader().feed(CHUNKED + raw)
