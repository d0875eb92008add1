"""The ingress beside nginx and HAProxy: one core, the same upstream, the same load, in turns in one run.

All have 1,000 hosts to choose from and write an access log; the ingress also counts for /metrics. The targets are held
to what a second of the core is good for, by the processor time of each proxy: on a machine with other work, requests
per second of the clock compare the neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import socket
import statistics
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
CLOSING = {"Connection": "close"}
LOADS: tuple[tuple[str, str, str, dict[str, str], float], ...] = (
    ("small keep-alive requests", "http", "/", {}, 0.8),
    ("with 12 browser headers", "http", "/", BROWSER, 0.72),
    ("100 KB bodies", "http", "/big", {}, 1.0),
    ("TLS, small keep-alive requests", "https", "/", {}, 0.7),
    ("a new connection for each request", "http", "/", CLOSING, 0.5),
)
ROUNDS = 3
_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_NEEDED = ("wrk", "nginx", "taskset", "openssl")
_TICKS = os.sysconf("SC_CLK_TCK")
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
    return [tool for tool in (*_NEEDED, "haproxy") if not shutil.which(tool)]


Measured = tuple[float, float, float]  # requests/s, microseconds of processor time, milliseconds of the slowest 1 %


class Proxy:
    """One that is measured: its process, and its ports for http and https."""

    def __init__(self, name: str, pid: int, http: int, https: int) -> None:
        self.name = name
        self.ports = {"http": http, "https": https}
        self._pid = pid

    def seconds(self) -> float:
        """Processor time of it and its children so far."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        total = 0
        for pid in (self._pid, *children):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS


def rows() -> Iterator[Row]:
    """Measure each proxy under each load. About two minutes."""
    if set(missing()) & set(_NEEDED):
        return
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx' worker is another user
        (folder / "big").write_bytes(os.urandom(100 * 1024))
        _certificate(folder)
        upstream = _ports(1)[0]
        serve = f"location / {{ return 200 '{'x' * 64}'; }} location = /big {{ root {folder}; }}"
        plain = f"server {{ listen 127.0.0.1:{upstream}; access_log off; keepalive_requests 1000000; {serve} }}"
        stack.enter_context(_nginx(folder, "upstream", plain, LOAD_CORE, upstream))
        proxies = [stack.enter_context(begin(folder, upstream)) for begin in (_theirs, _haproxy, _ours)]
        for load, scheme, path, headers, least in LOADS:
            there = [each for each in proxies if each]
            runs = [[_measured(each, scheme, path, headers) for each in there] for _ in range(ROUNDS)]
            yield from _compared(load, there, runs, least)


def _compared(load: str, proxies: list[Proxy], runs: list[list[Measured]], least: float) -> Iterator[Row]:
    """Give what each does in a second, and what ours does for the same processor time as nginx."""
    microseconds: dict[str, float] = {}
    for proxy, found in zip(proxies, zip(*runs, strict=True), strict=True):
        rate, cost, slowest = (statistics.median(values) for values in zip(*found, strict=True))
        microseconds[proxy.name] = cost
        yield row(f"{load}: {proxy.name}", rate, "requests/s", digits=0)
        yield row(f"{load}: {proxy.name}, processor time", cost, "us/request", digits=1)
        yield row(f"{load}: {proxy.name}, 99 % within", slowest, "ms", digits=1)
    ratio = microseconds["nginx"] / microseconds["kingress"]
    yield row(f"{load}: kingress / nginx, requests per processor time", ratio, "", least=least, digits=2)


def _measured(proxy: Proxy, scheme: str, path: str, headers: dict[str, str]) -> Measured:
    """Give requests per second, microseconds of processor time per request, and milliseconds of the slowest 1 %."""
    before = proxy.seconds()
    rate, slowest = _wrk(scheme, proxy.ports[scheme], path, headers)
    return rate, (proxy.seconds() - before) / (rate * SECONDS) * 1e6, slowest


def _certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={HOST}", "-keyout", str(folder / "key.pem"), "-out", str(folder / "c.pem")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "c.pem").read_text() + (folder / "key.pem").read_text())


@contextlib.contextmanager
def _theirs(folder: Path, upstream: int) -> Iterator[Proxy | None]:
    http, https = _ports(2)
    with _nginx(folder, "proxy", _proxying(folder, upstream, http, https), PROXY_CORE, http) as pid:
        yield Proxy("nginx", pid, http, https)


@contextlib.contextmanager
def _ours(folder: Path, upstream: int) -> Iterator[Proxy | None]:
    http, https = _ports(2)
    command = [sys.executable, "-m", "benches.ingress", str(http), str(https), str(upstream), str(folder)]
    with _process(["taskset", "-c", str(PROXY_CORE), *command], http) as pid:
        yield Proxy("kingress", pid, http, https)


@contextlib.contextmanager
def _haproxy(folder: Path, upstream: int) -> Iterator[Proxy | None]:
    if not shutil.which("haproxy"):
        yield None
        return
    http, https = _ports(2)
    (folder / "hosts.map").write_text("".join(f"h{i}.example pods\n" for i in range(ROUTES)))
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n nbthread 1\n"
        "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n option forwardfor\n"
        " http-reuse always\n"
        f"frontend in\n bind 127.0.0.1:{http}\n bind 127.0.0.1:{https} ssl crt {folder}/both.pem\n"
        " http-request set-header X-Request-ID %[uuid]\n"
        f" use_backend %[req.hdr(host),lower,map({folder}/hosts.map)]\n"
        f"backend pods\n server one 127.0.0.1:{upstream}\n"
    )
    with _process(["taskset", "-c", str(PROXY_CORE), "haproxy", "-db", "-f", str(config)], http) as pid:
        yield Proxy("haproxy", pid, http, https)


def _proxying(folder: Path, upstream: int, http: int, https: int) -> str:
    """Nginx' configuration of a proxy with as many hosts, that tells the upstream what the ingress tells it."""
    told = " ".join(f"proxy_set_header {name} {value};" for name, value in _TOLD.items())
    locations = f"location / {{ proxy_pass http://pods; proxy_http_version 1.1; {told} }}"
    listen = f"listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;"
    servers = [f"server {{ {listen} server_name h{i}.example; {locations} }}" for i in range(ROUTES)]
    tls = f"ssl_certificate {folder}/c.pem; ssl_certificate_key {folder}/key.pem;"
    pods = f"upstream pods {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}"
    return "\n".join(["server_names_hash_max_size 4096;", tls, pods, *servers])


@contextlib.contextmanager
def _nginx(folder: Path, name: str, servers: str, core: int, port: int) -> Iterator[int]:
    """Run nginx with one worker on one core."""
    temporary = " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in _FOLDERS)
    config = folder / f"{name}.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ keepalive_requests 1000000; access_log {folder}/{name}.log combined buffer=64k; {temporary}\n"
        f"{servers}\n}}\n"
    )
    with _process(["taskset", "-c", str(core), "nginx", "-c", str(config)], port) as pid:
        yield pid


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[int]:
    """Run something for as long as it is needed, and give its process id; it is ready when its port answers."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _wrk(scheme: str, port: int, path: str, headers: dict[str, str]) -> tuple[float, float]:
    """Give requests per second, of answers that are all 200, and the milliseconds within which 99 % came."""
    flags = [flag for name, value in {"Host": HOST, **headers}.items() for flag in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "--latency", *flags]
    url = f"{scheme}://127.0.0.1:{port}{path}"
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"requests failed on port {port}:\n{done.stdout}")
    slowest = done.stdout.partition("99%")[2].split()[0]
    unit = {"us": 0.001, "ms": 1.0}.get(slowest[-2:], 1000.0)
    return float(done.stdout.partition("Requests/sec:")[2].split()[0]), float(slowest.rstrip("mus")) * unit


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


async def _serve(http: int, https: int, upstream: int, folder: Path) -> None:
    """Be the ingress that is measured: this module's own process runs it."""
    from kingress import decode  # noqa: PLC0415  # only the measured process needs it
    from kingress.access import AccessLog  # noqa: PLC0415
    from kingress.backends import Resolution  # noqa: PLC0415
    from kingress.certificates import load  # noqa: PLC0415
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
    context = load((folder / "c.pem").read_bytes(), (folder / "key.pem").read_bytes()).context
    gc.collect()
    gc.freeze()
    with (folder / "access.log").open("a") as file:
        gateway = Gateway(settings, routes.table, upstreams, Metrics(), access=AccessLog(file.write, time.time))
        async with Server(gateway) as server:
            await server.listen(socket.create_server(("127.0.0.1", http)))
            await server.listen(socket.create_server(("127.0.0.1", https)), tls=context)
            await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
