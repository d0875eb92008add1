"""The ingress beside nginx: one core, the same upstream, the same load, in turns in one run.

Both have 1,000 hosts to choose from and write an access log; the ingress also counts for /metrics.
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

from benches.row import Row, row

HOST = "h500.example"
ROUTES = 1000
SECONDS = 3
CONNECTIONS = 64
PROXY_CORE, LOAD_CORE = 0, (os.cpu_count() or 1) - 1
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
_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_TOLD = {
    "Host": "$http_host",
    "Connection": '""',
    "X-Forwarded-For": "$remote_addr",
    "X-Real-IP": "$remote_addr",
    "X-Forwarded-Proto": "$scheme",
    "X-Forwarded-Port": "$server_port",
    "X-Forwarded-Host": "$http_host",
    "X-Request-ID": "$request_id",
}


def missing() -> list[str]:
    """What cannot be measured here."""
    return [tool for tool in ("wrk", "nginx", "taskset") if not shutil.which(tool)]


def rows() -> Iterator[Row]:
    """Measure requests per second of both, per load. About 40 seconds."""
    if missing():
        return
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx' worker is another user
        (folder / "big").write_bytes(os.urandom(100 * 1024))
        upstream, theirs, ours = _ports(3)
        serve = f"location / {{ return 200 '{'x' * 64}'; }} location = /big {{ root {folder}; }}"
        plain = f"server {{ listen 127.0.0.1:{upstream}; access_log off; {serve} }}"
        stack.enter_context(_nginx(folder, "upstream", plain, LOAD_CORE, upstream))
        stack.enter_context(_nginx(folder, "proxy", _proxying(upstream, theirs), PROXY_CORE, theirs))
        command = [sys.executable, "-m", "benches.ingress", str(ours), str(upstream), str(folder / "access.log")]
        stack.enter_context(_process(["taskset", "-c", str(PROXY_CORE), *command], ours))
        for load, path, headers, least in LOADS:
            runs = [(_wrk(theirs, path, headers), _wrk(ours, path, headers)) for _ in range(2)]
            nginx, kingress = (max(found) for found in zip(*runs, strict=True))
            yield row(f"{load}: nginx", nginx, "requests/s", digits=0)
            yield row(f"{load}: kingress", kingress, "requests/s", digits=0)
            yield row(f"{load}: kingress / nginx", kingress / nginx, "", least=least, digits=2)


def _proxying(upstream: int, port: int) -> str:
    """Nginx' configuration of a proxy with as many hosts, that tells the upstream what the ingress tells it."""
    told = " ".join(f"proxy_set_header {name} {value};" for name, value in _TOLD.items())
    locations = f"location / {{ proxy_pass http://pods; proxy_http_version 1.1; {told} }}"
    servers = [f"server {{ listen 127.0.0.1:{port}; server_name h{i}.example; {locations} }}" for i in range(ROUTES)]
    pods = f"upstream pods {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}"
    return "\n".join(["server_names_hash_max_size 4096;", pods, *servers])


@contextlib.contextmanager
def _nginx(folder: Path, name: str, servers: str, core: int, port: int) -> Iterator[None]:
    """Run nginx with one worker on one core."""
    temporary = " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in _FOLDERS)
    config = folder / f"{name}.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ keepalive_requests 1000000; access_log {folder}/{name}.log combined buffer=64k; {temporary}\n"
        f"{servers}\n}}\n"
    )
    with _process(["taskset", "-c", str(core), "nginx", "-c", str(config)], port):
        yield


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    """Run something for as long as it is needed; it is ready when its port answers."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wrk(port: int, path: str, headers: dict[str, str]) -> float:
    """Give requests per second, of answers that are all 200."""
    flags = [flag for name, value in {"Host": HOST, **headers}.items() for flag in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", *flags]
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"requests failed on port {port}:\n{done.stdout}")
    return float(done.stdout.partition("Requests/sec:")[2].split()[0])


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


async def _serve(port: int, upstream: int, log: Path) -> None:
    """Be the ingress that is measured: this module's own process runs it."""
    from kingress import decode  # noqa: PLC0415  # only the measured process needs it
    from kingress.access import AccessLog  # noqa: PLC0415
    from kingress.backends import Resolution  # noqa: PLC0415
    from kingress.gateway import Gateway  # noqa: PLC0415
    from kingress.metrics import Metrics  # noqa: PLC0415
    from kingress.routes import Routes  # noqa: PLC0415
    from kingress.server import Server  # noqa: PLC0415
    from kingress.settings import Settings  # noqa: PLC0415
    from kingress.upstreams import Upstreams  # noqa: PLC0415

    routes, settings = Routes(), Settings()
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    for i in range(ROUTES):
        rule = {"host": f"h{i}.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        routes.put(decode.ingress({"metadata": {"namespace": "shop", "name": f"i{i}"}, "spec": {"rules": [rule]}}))
    upstreams = Upstreams(settings, lambda _: Resolution((("127.0.0.1", upstream),)))
    with log.open("a") as file:
        gateway = Gateway(settings, routes.table, upstreams, Metrics(), access=AccessLog(file.write, time.time))
        async with Server(gateway) as server:
            await server.listen(socket.create_server(("127.0.0.1", port)))
            await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
