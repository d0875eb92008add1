from __future__ import annotations

import json

import pytest

from netnslab import echohttp
from netnslab.echohttp import Identity

WHO = Identity("web-1", "shop", "worker-1")


@pytest.mark.parametrize(
    ("data", "http"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"POST /", True),
        (b"GE", None),
        (b"", None),
        (b"GEX", False),
        (b"get /", False),
        (b"PING\r\n", False),
        (b"\x16\x03\x01", False),
    ],
)
def test_http_is_told_by_the_first_bytes(data: bytes, http: bool | None) -> None:
    assert echohttp.looks_like_http(data) is http


@pytest.mark.parametrize(
    ("data", "body", "rest"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"", b""),
        (b"GET / HTTP/1.1\r\n\r\nGET /2", b"", b"GET /2"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcd", b"abc", b"d"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\nrest",
            b"abc",
            b"rest",
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n", b"", b""),
    ],
)
def test_a_whole_request_is_taken_and_the_rest_is_left(data: bytes, body: bytes, rest: bytes) -> None:
    found = echohttp.parse(data)
    assert found is not None
    request, used = found
    assert (request.body, data[used:]) == (body, rest)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n",
    ],
)
def test_a_request_that_is_not_complete_is_waited_for(data: bytes) -> None:
    assert echohttp.parse(data) is None


@pytest.mark.parametrize(
    ("head", "last"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_the_connection_lives_as_long_as_the_client_wants(head: bytes, last: bool) -> None:
    found = echohttp.parse(head)
    assert found is not None
    assert found[0].last is last
    assert (b"Connection: close" in echohttp.answer(found[0], WHO, "c", "l")) is last


def test_a_head_without_an_end_is_refused() -> None:
    found = echohttp.parse(b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 17))
    assert found is not None
    assert echohttp.answer(found[0], WHO, "c", "l").startswith(b"HTTP/1.1 400 ")


def test_who_accepts_json_gets_json() -> None:
    found = echohttp.parse(b"PUT /x HTTP/1.1\r\nAccept: application/json\r\nContent-Length: 2\r\n\r\nhi")
    assert found is not None
    head, _, body = echohttp.answer(found[0], WHO, "192.0.2.9:1", "192.0.2.1:80").partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    told = json.loads(body)
    assert (told["pod"], told["client"], told["request"], told["body"]) == (
        "web-1",
        "192.0.2.9:1",
        "PUT /x HTTP/1.1",
        "hi",
    )


def test_a_head_request_gets_no_body() -> None:
    found = echohttp.parse(b"HEAD / HTTP/1.1\r\n\r\n")
    assert found is not None
    assert echohttp.answer(found[0], WHO, "c", "l").endswith(b"\r\n\r\n")


def test_permission_to_send_a_body_is_asked_for_once() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert echohttp.waits_for_permission(head)
    allowed = echohttp.permitted(head)
    assert not echohttp.waits_for_permission(allowed)
    assert echohttp.parse(allowed + b"abc") is not None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 80), "192.0.2.1:80"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1:80"),
        (("2001:db8::1", 80, 0, 0), "[2001:db8::1]:80"),
    ],
)
def test_addresses_are_written_as_people_do(address: tuple[object, ...], text: str) -> None:
    assert echohttp.written(address) == text
