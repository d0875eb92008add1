"""The access log: a line for each request, as JSON or in the combined format with what a proxy adds.

`client - - [time] "request" status bytes "referer" "user agent" seconds [namespace/service:port] endpoint request-id`

The JSON also has the Ingress, the number of attempts, and the trace id of the W3C trace context, which is passed on.

Lines are gathered, and written once a tick; the time in the combined format is that of the tick before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kingress.exchange import Exchange
    from kingress.message import Request

_MOST_LINES = 256  # waiting to be written; more are written at once
_LONGEST = 256  # bytes of a User-Agent that is worth remembering
_MILLISECONDS = tuple(f"{number / 1000:.3f}" for number in range(1000))
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}


class AccessLog:
    """Writes lines in the combined format with `write`; `clock` gives seconds since 1970."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._lines: list[str] = []
        self.lost = 0  # lines that could not be written
        self._stamp = ""
        self.tick()

    def line(self, exchange: Exchange, seconds: float) -> None:
        """Note an exchange that is over."""
        request = exchange.request
        asked, who = request.logged or _logged(request)
        backend, peer = exchange.backend, exchange.peer
        took = _MILLISECONDS[int(seconds * 1000)] if seconds < 1 else f"{seconds:.3f}"
        lines = self._lines
        lines.append(
            f"{exchange.client.peer}{self._stamp}{asked} {exchange.status} {exchange.sent} {who} {took} "
            f"[{backend.name if backend is not None else '-'}] {peer.name if peer is not None else '-'} "
            f"{exchange.request_id.decode('ascii') or '-'}\n"
        )
        if len(lines) >= _MOST_LINES:
            self.flush()

    def tick(self) -> None:
        """Let time pass: what waits is written, and the time of day that lines tell is that of now."""
        self.flush()
        self._stamp = datetime.fromtimestamp(int(self._clock()), UTC).strftime(" - - [%d/%b/%Y:%H:%M:%S +0000] ")

    def flush(self) -> None:
        """Write what waits; where that fails (a full disk, a reader that is gone) it is lost, and requests go on."""
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                self._write("".join(lines))
            except OSError:
                self.lost += len(lines)


class JsonLog(AccessLog):
    """Writes each line as a JSON object."""

    def line(self, exchange: Exchange, seconds: float) -> None:
        """See `AccessLog.line`."""
        request, route = exchange.request, exchange.route
        trace = next((value for name, value in request.headers if name.lower() == b"traceparent"), b"")
        line = {
            "time": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "client": exchange.client.peer,
            "method": request.method,
            "host": request.authority.decode("latin-1"),
            "target": request.target.decode("latin-1"),
            "version": request.version,
            "status": exchange.status,
            "bytes": exchange.sent,
            "seconds": round(seconds, 6),
            "referer": request.referer.decode("latin-1"),
            "userAgent": request.agent.decode("latin-1"),
            "ingress": f"{route.ingress.namespace}/{route.ingress.name}" if route else "",
            "backend": exchange.backend.name if exchange.backend else "",
            "endpoint": exchange.peer.name if exchange.peer else "",
            "attempts": exchange.attempts,
            "requestId": exchange.request_id.decode("ascii"),
            "traceId": _trace_id(trace.decode("latin-1")),
        }
        self._lines.append(json.dumps(line, separators=(",", ":")) + "\n")
        if len(self._lines) >= _MOST_LINES:
            self.flush()


def _trace_id(traceparent: str) -> str:
    """Give the trace id of a `traceparent` header (W3C Trace Context 3.2), or nothing."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else ""


def _logged(request: Request) -> tuple[str, str]:
    """Give what is said of a request: its line, and who asked with what."""
    line = f'"{request.method} {_text(request.target)} HTTP/{request.version}"'
    agent = request.agent
    who = _known(agent) if len(agent) <= _LONGEST else _text(agent)
    referer = _text(request.referer) if request.referer else "-"
    request.logged = line, f'"{referer}" "{who or "-"}"'
    return request.logged


@lru_cache(maxsize=1024)
def _known(value: bytes) -> str:
    """Give what `_text` gives: most clients say what others say."""
    return _text(value)


def _text(value: bytes) -> str:
    """Give bytes from outside as text that cannot forge a line or a field."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() and '"' not in text else text.translate(_ESCAPES)
