"""The command with a Corefile: transports, workers, metrics, logs, whole zones, and reloads that lose no query."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dnslib
import pytest
from tests.ports import unused_port

from kapi.resources import SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kdns.testing import service

Dig = Callable[..., list[str]]
HOSTS = "hosts {{\n {address} a.example\n }}\n"


@contextmanager
def command(file: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "kdns", "--corefile", str(file), *flags]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "kdns answers" in line, line or (process.stderr and process.stderr.read())
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=10)


def corefile(path: Path, port: int, *lines: str) -> Path:
    file = path / "Corefile"
    fresh = path / "fresh"
    fresh.write_text(f".:{port} {{\n bind 127.0.0.1\n" + "\n".join(lines) + "\n}\n")
    fresh.replace(file)
    return file


def fetched(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return str(response.read().decode())


def test_a_reload_loses_no_query(tmp_path: Path, dig: Dig) -> None:
    port = unused_port()
    file = corefile(tmp_path, port, HOSTS.format(address="192.0.2.1"), "reload 1s")
    lost: list[str] = []
    seen: set[str] = set()
    stop = threading.Event()

    def asking(kind: socket.SocketKind) -> None:
        query = bytes(dnslib.DNSRecord.question("a.example").pack())
        stream = kind is socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(2)
            sock.connect(("127.0.0.1", port))
            while not stop.is_set():
                sock.sendall(len(query).to_bytes(2, "big") + query if stream else query)
                try:
                    reply = sock.recv(512)[2 if stream else 0 :]
                    seen.add(str(dnslib.DNSRecord.parse(reply).rr[0].rdata))
                except (TimeoutError, dnslib.DNSError) as error:
                    lost.append(f"{kind.name}: {error}")
                    return

    with command(file):
        threads = [threading.Thread(target=asking, args=[kind]) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        for thread in threads:
            thread.start()
        corefile(tmp_path, port, "nonsense", "reload 1s")
        time.sleep(1.5)
        for last in (2, 3):
            corefile(tmp_path, port, HOSTS.format(address=f"192.0.2.{last}"), "reload 1s")
            deadline = time.monotonic() + 8
            while f"192.0.2.{last}" not in seen:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        stop.set()
        for thread in threads:
            thread.join()
    assert not lost
    assert seen == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}


def test_workers_share_the_work_and_their_numbers_are_added_up(tmp_path: Path, dig: Dig) -> None:
    port, told = unused_port(), unused_port()
    more = [f"prometheus 127.0.0.1:{told}", f"ready 127.0.0.1:{told}"]
    file = corefile(tmp_path, port, HOSTS.format(address="192.0.2.1"), *more)
    with command(file, "--workers", "3") as process:
        for _ in range(30):
            assert dig(port, "a.example", "+short") == ["192.0.2.1"]
        time.sleep(1.2)
        numbers = fetched(told, "/metrics")
        assert fetched(told, "/ready") == "OK\n"
        found = re.search(r'coredns_dns_requests_total\{[^}]*zone="\."[^}]*type="A"\} ([\d.]+)', numbers)
        assert found
        assert float(found[1]) == 30
        assert 'rcode="NOERROR"' in numbers
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_queries_are_logged_as_coredns_does_and_as_json(tmp_path: Path, dig: Dig) -> None:
    for style in ("", " . json"):
        port = unused_port()
        with command(corefile(tmp_path, port, HOSTS.format(address="192.0.2.1"), f"log{style}")) as process:
            dig(port, "A.example", "+short", "+noedns")
            assert process.stdout is not None
            line = process.stdout.readline()
            if style:
                facts = json.loads(line)
                assert (facts["name"], facts["type"], facts["rcode"]) == ("A.example.", "A", "NOERROR")
            else:
                assert re.fullmatch(
                    r'127\.0\.0\.1:\d+ - \d+ "A IN A\.example\. udp 27 false 512" NOERROR qr,aa,rd,ra \d+ 0\.\d+s\n',
                    line,
                )


def test_a_query_that_is_refused_is_logged_and_ends_nothing(tmp_path: Path, dig: Dig) -> None:
    broken = bytes.fromhex("0007 0100 0001 0000 0000 0001 00 0001 0001 00 0029")
    port = unused_port()
    with command(corefile(tmp_path, port, HOSTS.format(address="192.0.2.1"), "log")) as process:
        assert dig(port, "a.example", "+short") == ["192.0.2.1"]
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
                stream.sendall(len(broken).to_bytes(2, "big") + broken)
                assert stream.recv(64)[5] & 15 == 1, "FORMERR"
        assert dig(port, "a.example", "+short", "+tcp") == ["192.0.2.1"]
        assert process.poll() is None


def certified(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for localhost that trusts itself, in place of those there are."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    fresh = [folder / f"fresh-{path.name}" for path in (key, certificate)]
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-keyout", str(fresh[0]), "-out", str(fresh[1]), "-subj", "/CN=localhost"]
    subprocess.run([*words, "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    for made, path in zip(fresh, (key, certificate), strict=True):
        made.replace(path)
    return key, certificate


def over_tls(sock: ssl.SSLSocket, query: bytes) -> str:
    sock.sendall(len(query).to_bytes(2, "big") + query)
    size = int.from_bytes(sock.recv(2), "big")
    return str(dnslib.DNSRecord.parse(sock.recv(size)).rr[0].rdata)


def test_questions_over_tls_and_https_and_a_certificate_that_is_renewed(tmp_path: Path) -> None:
    key, certificate = certified(tmp_path)
    tls, https = unused_port(), unused_port()
    file = tmp_path / "Corefile"
    shared = f" bind 127.0.0.1\n tls {certificate} {key}\n {HOSTS.format(address='192.0.2.1')}"
    file.write_text(f"tls://.:{tls} https://.:{https} {{\n{shared}}}\n")
    query = bytes(dnslib.DNSRecord.question("a.example").pack())
    url = f"https://localhost:{https}/dns-query"
    post = urllib.request.Request(url, query, {"Content-Type": "application/dns-message"})

    def connected() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", tls), 5)
        context = ssl.create_default_context(cafile=str(certificate))
        return context.wrap_socket(plain, server_hostname="localhost")

    with command(file), connected() as first:
        for turn in range(2):
            context = ssl.create_default_context(cafile=str(certificate))
            with connected() as sock:
                assert [over_tls(each, query) for each in (sock, sock, first)] == ["192.0.2.1"] * 3
            with urllib.request.urlopen(post, timeout=5, context=context) as response:
                assert str(dnslib.DNSRecord.parse(response.read()).rr[0].rdata) == "192.0.2.1"
            with pytest.raises(urllib.error.HTTPError, match="400"):
                urllib.request.urlopen(f"{url}?dns=AAAA", timeout=5, context=context)
            if not turn:
                certified(tmp_path)
                time.sleep(1.3)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_loop_is_found_and_named(tmp_path: Path, workers: str) -> None:
    port = unused_port()
    file = corefile(tmp_path, port, f"forward . 127.0.0.1:{port}", "loop")
    words = [sys.executable, "-m", "kdns", "--corefile", str(file), "--workers", workers]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"kdns: what is forwarded to 127.0.0.1:{port} comes back here: a loop" in done.stderr


def test_a_wrong_corefile_is_named_with_its_line(tmp_path: Path) -> None:
    file = corefile(tmp_path, unused_port(), "template IN A")
    words = [sys.executable, "-m", "kdns", "--corefile", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"kdns: {file}:3: template: this plug-in is not supported" in done.stderr


async def test_a_zone_is_given_away_whole_and_a_name_explained(tmp_path: Path, dig: Dig) -> None:
    async with ApiServer(MemoryStore()) as api:
        sock = socket.create_server(("127.0.0.1", 0))
        await api.listen(sock)
        await api.client().create(SERVICES, service("web", ips=["10.96.77.7"], ports=["http:80"]))
        server = f"http://127.0.0.1:{sock.getsockname()[1]}"
        port, told = unused_port(), unused_port()
        kubernetes = f"kubernetes cluster.local {{\n endpoint {server}\n }}"
        pages = [f"{page} 127.0.0.1:{told}" for page in ("ready", "prometheus")]
        lines = [kubernetes, "transfer {\n to 127.0.0.1\n }", *pages]
        file = corefile(tmp_path, port, *lines)
        await asyncio.to_thread(transferred, file, port, told, dig, server)


def transferred(file: Path, port: int, told: int, dig: Dig, server: str) -> None:
    with command(file):
        deadline = time.monotonic() + 10
        while True:
            try:
                fetched(told, "/ready")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        lines = dig(port, "cluster.local", "AXFR")
        assert any("web.default.svc.cluster.local." in line and "10.96.77.7" in line for line in lines)
        assert sum("SOA" in line for line in lines) == 2
        for transport in ("+notcp", "+notcp", "+tcp"):
            assert dig(port, "web.default.svc.cluster.local", "+short", transport) == ["10.96.77.7"]
        dig(port, "nobodys.example")
        numbers = fetched(told, "/metrics")
        counted = {
            tuple(found) for found in re.findall(r'responses_total\{.*rcode="(\w+)",plugin="(\w*)"\} (\d+)', numbers)
        }
        assert counted == {("NOERROR", "kubernetes", "3"), ("REFUSED", "", "1")}
        host = server.removeprefix("http://")
        assert f'rest_client_requests_total{{code="200",host="{host}",method="GET"}} 6' in numbers, "lists and watches"
    words = [sys.executable, "-m", "kdns", "explain", "web", "--from", "default/x", "--server", server, "--no-forward"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    assert "there is no pod default/x; this is what a pod of namespace default sees" in done.stdout
    assert "1. web.default.svc.cluster.local. A: NOERROR (plug-in cluster)" in done.stdout
    assert "because Service default/web has the ClusterIP 10.96.77.7; 0 of its 0 endpoints are ready" in done.stdout
    assert "the resolver stops here, after 1 try for A" in done.stdout


def test_a_plug_in_of_ones_own(tmp_path: Path, dig: Dig, monkeypatch: Any) -> None:
    (tmp_path / "forty_two.py").write_text(
        """
from kdns import wire

def setup(setup):
    return FortyTwo()

class FortyTwo:
    name, ready = "forty-two", True

    def lookup(self, question):
        if question.startswith(b"\\5error"):
            raise ArithmeticError("of somebody else's")
        if question == b"\\6answer\\0\\0\\1\\0\\1":
            record = wire.record(wire.POINTER, wire.Type.A, 5, bytes((42, 42, 42, 42)))
            return wire.Answer(wire.flags_of(0), wire.counts_of(1), record)
        return None

    async def resolve(self, query, rest):
        return self.lookup(query.question) or await rest.next(query)
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    port = unused_port()
    words = [sys.executable, "-m", "kdns", "--listen", f"127.0.0.1:{port}", "--record", "a.example=192.0.2.1"]
    words += ["--no-forward", "--plugin", "forty_two"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "forty-two, static" in process.stdout.readline()
            assert dig(port, "ANSWER", "+short") == ["42.42.42.42"]
            for transport in ("+notcp", "+tcp"):
                broken = ["dig", "@127.0.0.1", "-p", str(port), "+tries=1", "+timeout=1", transport, "error.example"]
                assert subprocess.run(broken, capture_output=True, check=False).returncode == 9, "no reply"
                assert dig(port, "a.example", "+short", transport) == ["192.0.2.1"], "others have theirs"
        finally:
            process.terminate()
