"""What the ingress forwards means the same to everyone: nginx and HAProxy, put behind it, read the very same requests.

A corpus of odd and ambiguous requests is sent through the ingress three times: to a strict recorder directly, and with
nginx or HAProxy between. Were anything ambiguous forwarded, they would see other requests than the recorder does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.ports import unused_port

pytestmark = pytest.mark.timeout(90)

METHODS = (b"GET", b"POST", b"HEAD", b"get", b"PUT", b"TRACE")
TARGETS = (
    b"/",
    b"/a/../b",
    b"/%2e%2e/x",
    b"/a%2Fb",
    b"//x//y",
    b"/a;b=c",
    b"/?a=/../b",
    b"/a%00b",
    b"/%zz",
    b"/a\\b",
    b"/a#b",
    b"*",
    b"http://shop.example/abs",
    b"http://other.example/abs",
    b"/\xc3\xa9",
)
FRAMINGS = (
    (b"", b""),
    (b"Content-Length: 5\r\n", b"hello"),
    (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    (b"Content-Length: 5, 5\r\n", b"hello"),
    (b"Content-Length: +5\r\n", b"hello"),
    (b"Content-Length: 0x5\r\n", b"hello"),
    (b"Content-Length : 5\r\n", b"hello"),
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"5;x=y\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"05\r\nhello\r\n000\r\n\r\n"),
    (b"Transfer-Encoding: chunked\r\n", b"5\nhello\n0\n\n"),
    (b"Transfer-Encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: xchunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: chunked, identity\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (b"Transfer-Encoding:\x0bchunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"hello"),
)
HEADERS = (
    b"",
    b"X-Folded: a\r\n b\r\n",
    b"X-Bare: a\nX-Other: b\r\n",
    b"Connection: close, Content-Length\r\n",
    b"Connection: X-Forwarded-For\r\n",
    b"Expect: 100-continue\r\n",
    b"X_Forwarded_For: 1.1.1.1\r\n",
    b"Content_Length: 44\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAM\r\n",
    b"Host: shop.example\r\n",
    b"X-Nul: a\x00b\r\n",
    b": nameless\r\n",
)
MORE = b"GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n"


def corpus() -> list[bytes]:
    """Some of all combinations, the same in every run: each part with the plain others, and a draw of the rest."""
    plain = [(m, b"/", FRAMINGS[0], b"") for m in METHODS] + [(b"GET", t, FRAMINGS[0], b"") for t in TARGETS]
    plain += [(b"POST", b"/", f, b"") for f in FRAMINGS] + [(b"GET", b"/", FRAMINGS[0], h) for h in HEADERS]
    rest = list(itertools.product(METHODS, TARGETS, FRAMINGS, HEADERS))
    chosen = plain + Random(7).sample(rest, 600)
    return [
        m + b" " + t + b" HTTP/1.1\r\nHost: shop.example\r\n" + h + f + b"\r\n" + body + MORE
        for m, t, (f, body), h in chosen
    ]


@contextlib.asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield
    finally:
        process.terminate()
        await process.wait()


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    folder.chmod(0o755)
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy"))
    temporary += " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/err; events {{}}\n"
        f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; location / {{\n"
        f"proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Connection ''; }} }} }}\n"
    )
    return ["nginx", "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path, port: int, upstream: int) -> list[str]:
    (folder / "haproxy.cfg").write_text(
        "defaults\n mode http\n timeout client 9s\n timeout server 9s\n timeout connect 5s\n"
        f"listen all\n bind 127.0.0.1:{port}\n server one 127.0.0.1:{upstream}\n"
    )
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


async def seen_by(live: Any, recorder: Any, service: Any) -> list[list[tuple[str, bytes]]]:
    """Send the corpus; gives what the recorder saw of each request."""
    live.service("web", service)
    found = []
    for raw in corpus():
        recorder.requests.clear()
        with contextlib.suppress(ConnectionError):
            reader, writer = await live.connect()
            writer.write(raw)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 10)
            writer.close()
        found.append([(seen.line, seen.body) for seen in recorder.requests])
    return found


@pytest.mark.parametrize("between", [nginx, haproxy], ids=["nginx", "haproxy"])
async def test_whoever_is_behind_reads_the_same_requests(shop: Any, tmp_path: Path, between: Any) -> None:
    if not shutil.which(between.__name__):
        pytest.skip(f"{between.__name__} is not installed")
    live, recorder = shop
    directly = await seen_by(live, recorder, recorder)
    assert sum(map(bool, directly)) > 30
    port = unused_port()
    async with running(port, *between(tmp_path, port, recorder.port)):
        through = await seen_by(live, recorder, port)
    for raw, mine, theirs in zip(corpus(), directly, through, strict=True):
        assert mine == theirs, raw
