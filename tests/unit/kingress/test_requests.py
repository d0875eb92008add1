"""What a request may look like. Each refusal here is a way in which two servers could see different requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.malformed import BAD_BODIES, CHUNKED, GET, POST, REFUSED

from kingress.h1.requests import RequestReader
from kingress.message import END, UNKNOWN, Refused, Request


def head(raw: bytes) -> Any:
    """The first thing that the reader makes of bytes."""
    return RequestReader().feed(raw)[0]


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
