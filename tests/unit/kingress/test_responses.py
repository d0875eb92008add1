from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kingress.h1.responses import ResponseReader
from kingress.message import END, UNKNOWN, BadResponse, Response, Trailers

OK = b"HTTP/1.1 200 OK\r\n"
NAMED = (b"Server", b"kingress")


def reader(method: str = "GET") -> ResponseReader:
    made = ResponseReader()
    made.expect(method)
    return made


def test_responses_are_read_one_after_the_other() -> None:
    one = reader()
    for _ in range(2):
        head, body, end = one.feed(OK + b"Content-Length: 2\r\nX: y\r\n\r\nab")
        assert (head.status, head.reason, head.headers, head.length, body, end) == (
            200,
            b"OK",
            [(b"X", b"y"), NAMED],
            2,
            b"ab",
            END,
        )
        assert one.reusable
        assert not one.in_message
        one.expect("GET")


REFUSED: dict[str, bytes] = {
    "both lengths": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
    "two equal lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\n",
    "a length with plus": OK + b"Content-Length: +2\r\n\r\n",
    "gzip, then chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a folded line": OK + b"X: a\r\n b\r\n\r\n",
    "a bare line feed": OK + b"X: a\nY: b\r\n\r\n",
    "a space before the colon": OK + b"X : a\r\n\r\n",
    "NUL in a value": OK + b"X: a\x00\r\n\r\n",
    "a bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
    "garbage": b"hello\r\n\r\n",
    "version 2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a second response": OK + b"Content-Length: 0\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "bytes after the end": OK + b"Content-Length: 1\r\n\r\nab",
    "too many headers": OK + b"X: a\r\n" * 201 + b"\r\n",
    "a head without end": OK + b"X: " + b"a" * 70000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_response_is_refused(name: str) -> None:
    with pytest.raises(BadResponse):
        reader().feed(REFUSED[name])


@pytest.mark.parametrize(
    ("method", "raw", "declared"),
    [
        ("HEAD", OK + b"Content-Length: 5\r\n\r\n", 5),
        ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", UNKNOWN),
        ("HEAD", OK + b"\r\n", UNKNOWN),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 5),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", UNKNOWN),
    ],
)
def test_some_responses_have_no_body_whatever_their_headers_say(method: str, raw: bytes, declared: int) -> None:
    one = reader(method)
    head, end = one.feed(raw)
    assert (head.length, head.declared, end) == (0, declared, END)
    assert one.reusable
    one.expect("GET")
    assert one.feed(OK + b"Content-Length: 1\r\n\r\na")[1] == b"a"


def test_a_body_where_none_can_be_ends_the_connection_and_is_not_passed_on() -> None:
    one = reader("HEAD")
    assert len(one.feed(OK + b"Content-Length: 5\r\n\r\nhello")) == 2
    assert not one.reusable


def test_a_response_may_end_with_the_connection() -> None:
    one = reader()
    head, body = one.feed(OK + b"\r\nhello")
    assert (head.length, body) == (UNKNOWN, b"hello")
    assert one.finish()
    assert not one.reusable


def test_a_response_that_ends_too_early_is_not_complete() -> None:
    one = reader()
    one.feed(OK + b"Content-Length: 10\r\n\r\nhello")
    assert not one.finish()


def test_informational_responses_come_before_the_real_one() -> None:
    early, final, end = reader().feed(
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    )
    assert (early.status, final.status, end) == (103, 200, END)


def test_a_change_of_protocol_gives_the_head_and_the_first_bytes() -> None:
    head, first = reader().feed(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00")
    assert (head.status, first) == (101, b"\x81\x00")


def test_an_offer_to_upgrade_is_only_an_offer() -> None:
    head, body, _ = reader().feed(OK + b"Upgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nab")
    assert (head.headers, body) == ([NAMED], b"ab")


@pytest.mark.parametrize(
    ("headers", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_the_upstream_says_whether_the_connection_stays(headers: bytes, *, reusable: bool) -> None:
    one = reader()
    one.feed(headers + b"Content-Length: 0\r\n\r\n")
    assert one.reusable is reusable


def test_how_long_the_upstream_keeps_an_idle_connection_is_learnt() -> None:
    one = reader()
    one.feed(OK + b"Keep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n")
    assert one.keep_alive == 5


def test_a_server_that_says_its_name_keeps_it() -> None:
    head, *_ = reader().feed(OK + b"server: theirs\r\nContent-Length: 0\r\n\r\n")
    assert head.headers == [(b"server", b"theirs")]


def test_headers_of_the_hop_go_no_further_and_trailers_follow_the_body() -> None:
    events = reader().feed(
        OK + b"Connection: X-Hop\r\nX-Hop: 1\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\nY: z\r\n\r\n"
        b"2\r\nab\r\n0\r\nT: u\r\n\r\n"
    )
    assert events[0].headers == [(b"Y", b"z"), NAMED]
    assert events[1:] == [b"ab", Trailers([(b"T", b"u")]), END]


@pytest.mark.parametrize("name", ["Host", "Authorization", "Set-Cookie", "Connection", "Trailer"])
def test_what_must_come_before_the_body_is_not_taken_after_it(name: str) -> None:
    events = reader().feed(OK + f"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{name}: 1\r\n\r\n".encode())
    assert events[1:] == [b"a", END]


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding"])
def test_a_length_after_the_body_cannot_be_trusted(name: str) -> None:
    with pytest.raises(BadResponse):
        reader().feed(OK + f"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{name}: 1\r\n\r\n".encode())


def test_a_flood_of_trailers_cannot_be_trusted() -> None:
    with pytest.raises(BadResponse):
        reader().feed(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"T: u\r\n" * 201 + b"\r\n")


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_otherwise(raw: bytes) -> None:
    for begin in (b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
        try:
            events: list[Any] = reader().feed(begin + raw)
        except BadResponse:
            continue
        assert all(event is END or isinstance(event, bytes | Response | Trailers) for event in events)


def test_what_came_before_does_not_count_against_a_response() -> None:
    one = reader()
    for _ in range(1000):
        assert [
            event.status for event in one.feed(b'HTTP/1.1 304 Not Modified\r\nETag: "' + b"a" * 90 + b'"\r\n\r\n')[:1]
        ]
        one.expect("POST")
    assert one.feed(OK + b"Content-") == []
    head, body, _ = one.feed(b"Length: 2\r\n\r\nab")
    assert (head.status, body) == (200, b"ab")
