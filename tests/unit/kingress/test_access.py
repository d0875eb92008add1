from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from tests import reference

from kingress.access import AccessLog, JsonLog
from kingress.balance import Peer
from kingress.message import Request


def line(*headers: tuple[bytes, bytes], target: bytes = b"/x?y", as_json: bool = False) -> str:
    """The line of one exchange."""
    lines: list[str] = []
    log = (JsonLog if as_json else AccessLog)(lines.append, lambda: 1_767_225_600.5)
    said = {name.lower(): value for name, value in headers}
    request = Request("GET", target, "/x", b"a", "a", list(headers))
    request.agent, request.referer = said.get(b"user-agent", b""), said.get(b"referer", b"")
    exchange: Any = SimpleNamespace(
        request=request,
        client=SimpleNamespace(peer="192.0.2.1"),
        backend=SimpleNamespace(name="shop/web:80"),
        status=200,
        sent=12,
        peer=Peer("10.0.0.1", 8080),
        request_id=b"abc",
        route=None,
        attempts=1,
    )
    log.line(exchange, 0.0123)
    assert lines == []
    log.flush()
    return lines[0]


def test_a_line_says_who_asked_what_and_who_answered() -> None:
    assert line((b"User-Agent", b"curl/8"), (b"referer", b"http://r/")) == (
        '192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "GET /x?y HTTP/1.1" 200 12 "http://r/" "curl/8" 0.012 '
        "[shop/web:80] 10.0.0.1:8080 abc\n"
    )


@pytest.mark.parametrize("evil", [b'a" 200 "forged', b"a\x1b[31m", b"a\\b", b"a\xc2\x85b"])
def test_a_client_cannot_forge_a_field_or_a_line(evil: bytes) -> None:
    written = line((b"User-Agent", evil))
    assert written.count('"') == 6
    assert written.isascii()
    assert written.removesuffix("\n").isprintable()


def test_as_json_a_line_has_what_a_person_looks_for_and_the_trace() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    said = (b"Traceparent", f"00-{trace}-b7ad6b7169203331-01".encode())
    read = json.loads(line((b"User-Agent", b'"x"\n'), said, as_json=True))
    assert read == {
        "time": "2026-01-01T00:00:00.500+00:00",
        "client": "192.0.2.1",
        "method": "GET",
        "host": "a",
        "target": "/x?y",
        "version": "1.1",
        "status": 200,
        "bytes": 12,
        "seconds": 0.0123,
        "referer": "",
        "userAgent": '"x"\n',
        "ingress": "",
        "backend": "shop/web:80",
        "endpoint": "10.0.0.1:8080",
        "attempts": 1,
        "requestId": "abc",
        "traceId": trace,
    }
    assert json.loads(line((b"traceparent", b"forged"), as_json=True))["traceId"] == ""
    page = (reference.FOLDER / "kingress.md").read_text()
    fields = [row[0] for row in reference.rows(reference.section(page, "Access log")) if row[0].startswith("`")]
    assert sorted(re.findall(r"`([A-Za-z]+)`", " ".join(fields))) == sorted(read)


def test_lines_that_cannot_be_written_are_counted_and_harm_nobody() -> None:
    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    log = AccessLog(full, lambda: 0.0)
    log._lines += ["a line\n"] * 3
    log.tick()
    assert log.lost == 3
