"""The ingress and nginx side by side: one core, the same upstream, the same load, in turns.

`rows()` needs wrk and nginx; what is missing is named in a row of its own. About 20 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

HOST = "h500.example"
ROUTES = 1000
SECONDS = 3
CONNECTIONS = 64
PROXY_CORE, LOAD_CORE = 0, 1
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Cache-Control": "max-age=0",
}
LOADS: tuple[tuple[str, str, dict[str, str], float], ...] = (
    ("small keep-alive requests", "/", {}, 0.8),
    ("with 12 browser headers", "/", BROWSER, 0.72),
    ("100 KB bodies", "/big", {}, 1.0),
)
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_LOG = '"$remote_addr $request $status $body_bytes_sent $http_referer $http_user_agent $request_time $upstream_addr"'


def rows() -> list[Row]:
    """Measure: requests per second of the ingress, as a share of nginx', per load."""
    missing = [tool for tool in ("wrk", "nginx", "taskset") if shutil.which(tool) is None]
    if missing:
        return [{"name": f"not measured: {', '.join(missing)} missing", "value": 0, "unit": "", "target": 0, "met": False}]
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        upstream, peer = (stack.enter_context(_nginx(Path(folder), kind)) for kind in ("upstream", "proxy"))
        ours = stack.enter_context(_ingress(upstream, Path(folder)))
        stack.enter_context(_pointed(Path(folder), upstream, peer))
        for name, path, headers, target in LOADS:
            theirs, mine = _in_turns(peer, ours, path, headers)
            found.append(_row(f"{name}: nginx", theirs, "requests/s"))
            found.append(_row(f"{name}: kingress", mine, "requests/s"))
            found.append(_row(f"{name}: share of nginx", mine / theirs, "", target))
    return found


def _row(name: str, value: float, unit: str, target: float | None = None) -> Row:
    return {"name": name, "value": round(value, 2), "unit": unit, "target": target, "met": target is None or value >= target}


def _in_turns(peer: int, ours: int, path: str, headers: dict[str, str]) -> tuple[float, float]:
    """The best of two runs each, one after the other: other work on the machine disturbs both alike."""
    runs = [(_wrk(peer, path, headers), _wrk(ours, path, headers)) for _ in range(2)]
    return max(run[0] for run in runs), max(run[1] for run in runs)


def _wrk(port: int, path: str, headers: dict[str, str]) -> float:
    flags = [flag for name, value in {"Host": HOST, **headers}.items() for flag in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", *flags]
    told = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in told, told
    return float(told.partition("Requests/sec:")[2].split()[0])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    """Run something until it is not needed; it is ready when its port answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)
