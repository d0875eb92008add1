"""The proxies that are measured, each on one core, with 1,000 hosts to choose from and an access log."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benches.entrance.cluster import CERTIFICATE, NAMESPACE, POD, free_port, host, running

ROUTES = 1000
HOST = host(ROUTES // 2)
PROXY_CORE, LOAD_CORE = 0, (os.cpu_count() or 1) - 1
_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
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


class Proxy:
    """One that is measured: its process, and its ports for http and https."""

    def __init__(self, name: str, pid: int, http: int, https: int) -> None:
        self.name = name
        self.ports = {"http": http, "https": https}
        self._pid = pid

    def seconds(self) -> list[float]:
        """Processor time so far, of it and of each of its children."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [_seconds(pid) for pid in (str(self._pid), *children)]


def _seconds(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def certificate(folder: Path) -> None:
    """Make a certificate for the host, and its key."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "c.pem")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "c.pem").read_text() + (folder / "key.pem").read_text())


@contextlib.contextmanager
def upstream(folder: Path, port: int) -> Iterator[None]:
    """Serve what all proxies ask for: nginx with constant answers, on the core of the load."""
    (folder / "big").write_bytes(os.urandom(100 * 1024))
    serve = f"location / {{ return 200 '{'x' * 64}'; }} location = /big {{ root {folder}; }}"
    plain = f"server {{ listen {POD}:{port}; access_log off; keepalive_requests 1000000; {serve} }}"
    with _nginx(folder, "upstream", plain, LOAD_CORE, port):
        yield


@contextlib.contextmanager
def kingress(folder: Path, api: str, workers: int = 1) -> Iterator[Proxy]:
    """Run the command as anybody would, following the cluster; several processes have a core each."""
    http, https, admin = (free_port() for _ in range(3))
    cores = ",".join(map(str, range(workers))) if workers > 1 else str(PROXY_CORE)
    command = ["taskset", "-c", cores, sys.executable, "-m", "kingress", "--server", api, "--workers", str(workers)]
    command += ["--listen", f"127.0.0.1:{http}", "--listen-tls", f"127.0.0.1:{https}", "--admin", f"127.0.0.1:{admin}"]
    command += ["--access-log", str(folder / f"kingress-{workers}.log")]
    command += ["--default-certificate", f"{NAMESPACE}/{CERTIFICATE}"]  # wrk asks by address, and so for no name
    with running(command, folder / f"kingress-{workers}.out", "kingress serves") as process:
        yield Proxy("kingress", process.pid, http, https)


@contextlib.contextmanager
def nginx(folder: Path, to: int) -> Iterator[Proxy]:
    """Run nginx with as many hosts, that tells the upstream what the ingress tells it."""
    http, https = free_port(), free_port()
    told = " ".join(f"proxy_set_header {name} {value};" for name, value in _TOLD.items())
    locations = f"location / {{ proxy_pass http://pods; proxy_http_version 1.1; {told} }}"
    listen = f"listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;"
    servers = [f"server {{ {listen} server_name {host(i)}; {locations} }}" for i in range(ROUTES)]
    tls = f"ssl_certificate {folder}/c.pem; ssl_certificate_key {folder}/key.pem;"
    pods = f"upstream pods {{ server {POD}:{to}; keepalive 64; keepalive_requests 1000000; }}"
    with _nginx(
        folder, "nginx", "\n".join(["server_names_hash_max_size 4096;", tls, pods, *servers]), PROXY_CORE, http
    ) as pid:
        yield Proxy("nginx", pid, http, https)


@contextlib.contextmanager
def haproxy(folder: Path, to: int) -> Iterator[Proxy | None]:
    """Run HAProxy with as many hosts, where it is installed."""
    if not shutil.which("haproxy"):
        yield None
        return
    http, https = free_port(), free_port()
    (folder / "hosts.map").write_text("".join(f"{host(i)} pods\n" for i in range(ROUTES)))
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n nbthread 1\n log stdout format raw local0\n"
        "defaults\n mode http\n log global\n option httplog\n option forwardfor\n http-reuse always\n"
        " timeout client 60s\n timeout server 60s\n timeout connect 5s\n"
        f"frontend in\n bind 127.0.0.1:{http}\n bind 127.0.0.1:{https} ssl crt {folder}/both.pem\n"
        " http-request set-header X-Request-ID %[uuid]\n"
        f" use_backend %[req.hdr(host),lower,map({folder}/hosts.map)]\n"
        f"backend pods\n server one {POD}:{to}\n"
    )
    command = ["taskset", "-c", str(PROXY_CORE), "haproxy", "-db", "-f", str(config)]
    with running(command, folder / "haproxy.log", "") as process:
        _await(http)
        yield Proxy("haproxy", process.pid, http, https)


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
    with running(["taskset", "-c", str(core), "nginx", "-c", str(config)], folder / f"{name}.out", "") as process:
        _await(port)
        yield process.pid


def _await(port: int) -> None:
    """Wait until something listens."""
    for _ in range(300):
        for address in ("127.0.0.1", POD):
            with contextlib.suppress(OSError), socket.create_connection((address, port), 0.1):
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")
