"""The HTTP that the echo server speaks: requests from bytes, answers to bytes. Pure.

It reads whole requests (RFC 9112), keeps connections open as the client asks, and answers with JSON to who accepts
only that, with lines to everyone else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT ")
_LONGEST_HEAD = 1 << 16
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[^\r\n]*\r\n")
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers."""

    pod: str
    namespace: str
    node: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `last` says that the connection closes after its answer; `line` is "" for a malformed one."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    last: bool

    def header(self, name: str) -> str:
        """The first value of a header, or ""."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def looks_like_http(data: bytes) -> bool | None:
    """Whether a client speaks HTTP/1, judged by its first bytes; None while they could still become either."""
    if any(data.startswith(method) for method in _METHODS):
        return True
    return None if any(method.startswith(data) for method in _METHODS) else False


def parse(data: bytes) -> tuple[HttpRequest, int] | None:
    """The first whole request in `data` and how many bytes it is long; None while it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return (HttpRequest("", (), b"", last=True), len(data)) if len(data) > _LONGEST_HEAD else None
    line, *rest = data[:end].decode("latin-1").split("\r\n")
    headers = tuple((name.strip(), value.strip()) for name, _, value in (item.partition(":") for item in rest))
    request = HttpRequest(line, headers, b"", last=False)
    found = _body(request, data, end + 4)
    if found is None:
        return None
    body, used = found
    connection = request.header("connection").lower()
    last = connection == "close" or (line.endswith("HTTP/1.0") and connection != "keep-alive")
    return HttpRequest(line, headers, body, last), used


def answer(request: HttpRequest, identity: Identity, client: str, local: str, *, last: bool = False) -> bytes:
    """The whole answer to a request: who was asked by whom, and the request as it arrived."""
    if not request.line:
        return _BAD
    if request.header("accept") == "application/json":
        kind, text = "application/json", _as_json(request, identity, client, local)
    else:
        kind, text = "text/plain; charset=utf-8", _as_lines(request, identity, client, local)
    body = text.encode()
    closing = last or request.last
    head = [
        "HTTP/1.1 200 OK",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        f"Connection: {'close' if closing else 'keep-alive'}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + (b"" if request.line.startswith("HEAD ") else body)


def waits_for_permission(data: bytes) -> bool:
    """Whether a client has sent a head with `Expect: 100-continue` and holds its body back (RFC 9110, 10.1.1)."""
    end = data.find(b"\r\n\r\n")
    return end >= 0 and b"\r\nexpect: 100-continue" in data[:end].lower()


def permitted(data: bytes) -> bytes:
    """The same bytes without the expectation, once it has been answered."""
    end = data.find(b"\r\n\r\n")
    head = re.sub(rb"\r\nexpect: 100-continue", b"", data[:end], flags=re.IGNORECASE)
    return head + data[end:]


def written(address: tuple[object, ...]) -> str:
    """A socket address as `192.0.2.1:80` or `[2001:db8::1]:80`."""
    host = str(address[0]).removeprefix("::ffff:")
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


def _body(request: HttpRequest, data: bytes, start: int) -> tuple[bytes, int] | None:
    if request.header("transfer-encoding").lower().endswith("chunked"):
        return _chunks(data, start)
    length = request.header("content-length") or "0"
    end = start + (int(length) if length.isdigit() else 0)
    return (data[start:end], end) if len(data) >= end else None


def _chunks(data: bytes, start: int) -> tuple[bytes, int] | None:
    body = b""
    while match := _CHUNK_SIZE.match(data, start):
        size = int(match[1], 16)
        start = match.end()
        if size == 0:
            end = data.find(b"\r\n", start) if data.startswith(b"\r\n", start) else data.find(b"\r\n\r\n", start) + 2
            return (body, end + 2) if end >= start else None
        if len(data) < start + size + 2:
            return None
        body += data[start : start + size]
        start += size + 2
    return None


def _as_lines(request: HttpRequest, identity: Identity, client: str, local: str) -> str:
    facts = [
        f"pod: {identity.pod}",
        f"namespace: {identity.namespace}",
        f"node: {identity.node}",
        f"client: {client}",
        f"address: {local}",
        f"request: {request.line}",
    ]
    text = "\n".join([*facts, *(f"header: {name}: {value}" for name, value in request.headers)]) + "\n"
    return text + ("\n" + request.body.decode("utf-8", "replace") if request.body else "")


def _as_json(request: HttpRequest, identity: Identity, client: str, local: str) -> str:
    facts = {
        "pod": identity.pod,
        "namespace": identity.namespace,
        "node": identity.node,
        "client": client,
        "address": local,
        "request": request.line,
        "headers": [list(pair) for pair in request.headers],
        "body": request.body.decode("utf-8", "replace"),
    }
    return json.dumps(facts) + "\n"
