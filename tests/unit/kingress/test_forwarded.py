from __future__ import annotations

from ipaddress import ip_network

from kingress.forwarded import Forwarding
from kingress.h1.requests import RequestReader
from kingress.message import Request

TRUSTED = (ip_network("10.0.0.0/8"),)


def request(*headers: str) -> Request:
    text = "\r\n".join(["GET / HTTP/1.1", "Host: a.example:8080", *headers, "", ""])
    head = RequestReader().feed(text.encode())[0]
    assert isinstance(head, Request)
    return head


def told(forwarding: Forwarding, *headers: str) -> dict[str, str]:
    """What the upstream is told, by lower-case name; each name once."""
    asked = request(*headers)
    sent = [*forwarding.headers(asked, b"made"), *asked.headers]
    found = {name.decode().lower(): value.decode() for name, value in sent}
    assert len(found) == len(sent), "a header was sent twice"
    return found


def test_the_upstream_is_told_who_asked_and_how() -> None:
    assert told(Forwarding("192.0.2.1", "https", 443)) == {
        "x-forwarded-for": "192.0.2.1",
        "x-real-ip": "192.0.2.1",
        "x-forwarded-proto": "https",
        "x-forwarded-port": "443",
        "x-forwarded-host": "a.example:8080",
        "x-request-id": "made",
    }


LIES = (
    "X-Forwarded-For: 1.1.1.1",
    "x-forwarded-proto: https",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Port: 1",
    "X-Real-IP: 1.1.1.1",
    "Forwarded: for=1.1.1.1",
    "X-Original-URL: /admin",
    "X_Forwarded_For: 1.1.1.1",
)


def test_what_a_stranger_says_of_itself_is_overwritten() -> None:
    assert told(Forwarding("192.0.2.1", "http", 80, TRUSTED), *LIES) == told(Forwarding("192.0.2.1", "http", 80))


def test_a_trusted_proxy_is_believed_and_appended() -> None:
    said = told(
        Forwarding("10.1.2.3", "http", 80, TRUSTED),
        "X-Forwarded-For: 9.9.9.9, 192.0.2.7, 10.9.9.9",
        "X-Forwarded-Proto: https",
    )
    assert said["x-forwarded-for"] == "9.9.9.9, 192.0.2.7, 10.9.9.9, 10.1.2.3"
    assert said["x-forwarded-proto"] == "https"
    assert said["x-forwarded-host"] == "a.example:8080"
    assert said["x-real-ip"] == "192.0.2.7", "the last that is not a trusted proxy: who came before could lie"


def test_a_request_id_is_kept_where_it_is_fit_for_a_log() -> None:
    forwarding = Forwarding("192.0.2.1", "http", 80)
    assert told(forwarding, "X-Request-ID: abc-123")["x-request-id"] == "abc-123"
    assert told(forwarding, "X-Request-ID: a b")["x-request-id"] == "made"
    assert told(forwarding, f"X-Request-ID: {'a' * 200}")["x-request-id"] == "made"
