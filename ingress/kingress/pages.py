"""The answers that the ingress gives itself: plain text that says what is wrong, where, and nothing else. Pure."""

from __future__ import annotations

from http import HTTPStatus

from kingress.message import Header


def reason(status: int) -> bytes:
    """Give the usual reason phrase of a status."""
    return HTTPStatus(status).phrase.encode("ascii")


def page(status: int, why: str) -> tuple[list[Header], bytes]:
    """Give the headers and the body of an answer."""
    body = f"{status} {HTTPStatus(status).phrase}\n\n{why}\n".encode()
    headers = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Server", b"kingress")]
    return headers, body
