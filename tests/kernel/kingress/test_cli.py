"""The ingress as a process: an API server, an Ingress, a request, and an orderly end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.ports import unused_port

from kapi.client import Client
from kapi.resources import EVENTS, INGRESS_CLASSES, INGRESSES, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kingress import cli

Json = dict[str, Any]


def ingress(name: str, host: str, service: str, path: str = "/") -> Json:
    backend = {"service": {"name": service, "port": {"name": "http"}}}
    rule = {"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"ingressClassName": "kproxy", "rules": [rule]},
    }


CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "kproxy"},
    "spec": {"controller": "kproxy.io/ingress"},
}


def service(port: int) -> Json:
    """A Service whose endpoint is named: an API server takes no loopback address into a slice."""
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "http", "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "web"}, "spec": spec}


async def apply(client: Client, port: int) -> None:
    """The objects of a small shop whose only endpoint is on 127.0.0.1."""
    await client.create(INGRESS_CLASSES, CLASS)
    await client.create(SERVICES, service(port))
    await client.create(INGRESSES, ingress("web", "shop.example", "web"))


@pytest.fixture
async def api() -> AsyncIterator[tuple[Client, str]]:
    """An API server and its URL."""
    async with ApiServer(MemoryStore()) as server:
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        yield server.client(), f"http://127.0.0.1:{sock.getsockname()[1]}"


async def eventually(condition: Any, seconds: float = 10.0) -> Any:
    """Give the first true answer of an asynchronous condition."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110  # asked of a server: nothing tells us
            await asyncio.sleep(0.02)
    return found


async def test_the_ingress_runs_against_an_api_server_until_it_is_told_to_stop(
    api: tuple[Client, str], upstream: Any
) -> None:
    client, url = api
    web = await upstream(b"hello")
    await apply(client, web.port)
    await client.create(INGRESSES, ingress("broken", "broken.example", "missing"))
    await client.create(INGRESSES, ingress("younger", "shop.example", "web"))
    inherited = socket.create_server(("127.0.0.1", 0))
    port, admin = unused_port(), unused_port()
    arguments = ["--server", url, "--listen", f"127.0.0.1:{port}", "--listen-fd", str(inherited.fileno())]
    arguments += ["--admin", f"127.0.0.1:{admin}", "--publish-address", "203.0.113.9"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kingress",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[inherited.fileno()],
    )
    inherited_port = inherited.getsockname()[1]
    inherited.close()
    assert process.stdout is not None
    try:
        assert b"serves 3 Ingresses" in await asyncio.wait_for(process.stdout.readline(), 10)
        async with aiohttp.ClientSession() as session:
            for each in (port, inherited_port):
                async with session.get(f"http://127.0.0.1:{each}/", headers={"Host": "shop.example"}) as answer:
                    assert (answer.status, await answer.text()) == (200, "hello")
            async with session.get(f"http://127.0.0.1:{admin}/readyz") as answer:
                assert answer.status == 200
            async with session.get(f"http://127.0.0.1:{admin}/metrics") as answer:
                assert 'kingress_requests_total{namespace="default",ingress="web"' in await answer.text()
            async with session.get(f"http://127.0.0.1:{admin}/routes") as answer:
                rows = await answer.json()
        assert [(row["host"], row["missing"]) for row in rows] == [
            ("broken.example", "Service default/missing does not exist."),
            ("shop.example", ""),
        ]
        assert rows[1]["endpoints"] == [f"localhost:{web.port}"]
        await _status_is(client, [{"ip": "203.0.113.9"}])
        events = await eventually(lambda: _warnings(client, 2))
        assert {(name, reason) for name, reason, _ in events} == {("broken", "BackendMissing"), ("younger", "Conflict")}
        process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(process.stdout.read(), 10)
        assert await process.wait() == 0
        assert b'"GET / HTTP/1.1" 200 5' in rest
        await _status_is(client, [])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _status_is(client: Client, wanted: list[Json]) -> None:
    async def reached() -> bool:
        found = await client.get(INGRESSES, "web", "default")
        return bool(((found.get("status") or {}).get("loadBalancer") or {}).get("ingress", []) == wanted)

    await eventually(reached)


async def _warnings(client: Client, count: int) -> list[tuple[str, str, str]]:
    events = (await client.list(EVENTS, "default")).items
    found = [(e["involvedObject"]["name"], e["reason"], e["message"]) for e in events if e["type"] == "Warning"]
    return found if len(found) >= count else []


async def test_of_all_secrets_it_asks_for_those_that_its_ingresses_name(api: tuple[Client, str], upstream: Any) -> None:
    client, url = api
    await apply(client, (await upstream()).port)
    secure = ingress("secure", "safe.example", "web")
    secure["spec"]["tls"] = [{"hosts": ["safe.example"], "secretName": "safe"}]
    await client.create(INGRESSES, secure)
    asked = bytearray()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))

        async def back() -> None:
            while data := await up.read(65536):
                writer.write(data)

        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(back())
                while data := await reader.read(65536):
                    asked.extend(data)
                    down.write(data)
                up.feed_eof()
        writer.close()
        down.close()

    async with await asyncio.start_server(between, "127.0.0.1", 0) as listening:
        server = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        arguments = ["--server", server, "--listen", "127.0.0.1:0", "--default-certificate", "kube-system/default"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kingress", *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert b"serves 2 Ingresses" in await asyncio.wait_for(process.stdout.readline(), 10)
        process.terminate()
        await process.communicate()
    paths = set(re.findall(rb"GET (/api/v1/(?:namespaces/[a-z-]+/)?secrets\S*)", asked))
    named = {re.sub(rb"&(?!fieldSelector)[^&]*|(?<=\?)(?!fieldSelector)[^&]*&", b"", path) for path in paths}
    assert named == {
        b"/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dsafe",
        b"/api/v1/namespaces/kube-system/secrets?fieldSelector=metadata.name%3Ddefault",
    }


async def secured(client: Client, port: int) -> None:
    """The small shop, with TLS from a Secret that does not exist."""
    await apply(client, port)
    made = ingress("safe", "safe.example", "web")
    made["spec"]["tls"] = [{"hosts": ["safe.example"], "secretName": "missing"}]
    await client.create(INGRESSES, made)


async def certificate_shown(port: int) -> bytes:
    """Ask what is wrong; gives the certificate that is shown."""
    anything = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=anything, server_hostname="safe.example")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(b"GET / HTTP/1.1\r\nHost: safe.example\r\nConnection: close\r\n\r\n")
    assert b"Ingress default/safe spec.tls[0] names Secret default/missing" in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return bytes(shown)


async def test_a_missing_certificate_is_told_by_all_processes_alike_and_by_an_event_and_a_metric(
    api: tuple[Client, str], upstream: Any
) -> None:
    client, url = api
    await secured(client, (await upstream()).port)
    port, admin = unused_port(), unused_port()
    arguments = ["--listen-tls", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--workers", "2"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kingress", "--server", url, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        for _ in range(2):
            assert b"serves" in await asyncio.wait_for(process.stdout.readline(), 20)
        assert len({await certificate_shown(port) for _ in range(12)}) == 1
        events = await eventually(lambda: _warnings(client, 1))
        said = "Secret default/missing gives no certificate: it does not exist."
        assert events == [("safe", "Certificate", said)]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{admin}/metrics") as answer:
            counted = 'kingress_problems{namespace="default",ingress="safe",reason="Certificate"} 1'
            assert counted in (await answer.text()).splitlines()
    finally:
        process.terminate()
        await process.communicate()


async def test_without_the_openssl_command_a_missing_certificate_ends_the_handshake_and_a_sentence_says_so(
    api: tuple[Client, str], upstream: Any, tmp_path: Path
) -> None:
    client, url = api
    await secured(client, (await upstream()).port)
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kingress",
        *("--server", url, "--listen-tls", f"127.0.0.1:{port}"),
        env={**os.environ, "PATH": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert b"serves" in await asyncio.wait_for(process.stdout.readline(), 20)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await certificate_shown(port)
    finally:
        process.terminate()
        _, said = await process.communicate()
    sentence = b"hosts whose certificate is missing are refused in the handshake, not told what is wrong: openssl"
    assert said.count(sentence) == 1


@contextlib.asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The ingress, from when it serves, with a pipe to its standard input."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "kingress", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        process.terminate()
        await process.communicate()


async def answered(port: int, path: str = "/", tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Host": "shop.example"}, ssl=tls or True, server_hostname="shop.example") as answer,
    ):
        return answer.status, await answer.text()


async def test_a_folder_of_manifests_is_served_with_its_certificates_and_followed(
    upstream: Any, tmp_path: Path, signed: Any
) -> None:
    certificate, key = signed("shop.example")
    shop = ingress("web", "shop.example", "web", "/cart")
    shop["spec"]["tls"] = [{"hosts": ["shop.example"], "secretName": "c"}]
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}, "data": data}
    (tmp_path / "shop.json").write_text(json.dumps({"kind": "List", "items": [CLASS, secret, shop]}))
    (tmp_path / "web.json").write_text(json.dumps(service((await upstream(b"hello")).port)))
    port, secure = unused_port(), unused_port()
    places = ("--listen", f"127.0.0.1:{port}", "--listen-tls", f"127.0.0.1:{secure}")
    trusting = ssl.create_default_context(cadata=certificate.decode())
    async with running("--manifests", str(tmp_path), *places) as process:
        assert process.stdout is not None
        assert b"serves 1 Ingresses" in await asyncio.wait_for(process.stdout.readline(), 10)
        assert await answered(port, "/cart") == (200, "hello")
        assert await answered(secure, "/cart", trusting) == (200, "hello")
        assert (await answered(port))[0] == 404
        (tmp_path / "more.json").write_text(json.dumps(ingress("more", "shop.example", "web")))

        async def more() -> bool:
            return await answered(port) == (200, "hello")

        await eventually(more)


async def test_what_is_told_on_standard_input_is_served(upstream: Any) -> None:
    port, web = unused_port(), await upstream(b"hello")
    async with running("--events", "-", "--listen", f"127.0.0.1:{port}") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for obj in (CLASS, service(web.port), ingress("web", "shop.example", "web")):
            process.stdin.write(json.dumps({"type": "ADDED", "object": obj}).encode() + b"\n")
        process.stdin.write(b"SYNC\n")
        assert b"serves 1 Ingresses" in await asyncio.wait_for(process.stdout.readline(), 10)
        assert await answered(port) == (200, "hello")


def test_explain_reads_manifests_and_names_what_is_of_another_class(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = ingress("other", "shop.example", "web")
    other["spec"]["ingressClassName"] = "nginx"
    (tmp_path / "shop.json").write_text(json.dumps({"kind": "List", "items": [CLASS, service(80), other]}))
    assert cli.main(["explain", "http://shop.example/cart", "--manifests", str(tmp_path)]) == 0
    told = capfd.readouterr().out
    assert "404: no rule applies" in told
    assert (
        "passed over: Ingress default/other spec.rules[0].http.paths[0] would match, "
        "but it is of class nginx, and there is no such IngressClass"
    ) in told
    assert cli.main(["explain", "http://shop.example/", "--manifests", str(tmp_path / "none")]) == 1
    assert "is no folder: --manifests names a folder" in capfd.readouterr().err


async def test_it_does_not_run_with_a_parser_written_in_python(api: tuple[Client, str]) -> None:
    arguments = ("--server", api[1], "--listen", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kingress", *arguments),
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert told.startswith(b"kingress: aiohttp parses HTTP in Python here, which is not strict enough: install ")


async def test_it_may_open_as_many_files_as_the_system_allows(api: tuple[Client, str]) -> None:
    command = f"ulimit -Sn 64; exec {sys.executable} -m kingress --server {api[1]} --listen 127.0.0.1:0"
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert b"serves" in await asyncio.wait_for(process.stdout.readline(), 10)
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > 64
    process.terminate()
    await process.communicate()


def test_what_cannot_be_listened_on_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["--server", "http://127.0.0.1:9", "--listen", f"127.0.0.1:{port}"]) == 1
    assert f"kingress: cannot listen on 127.0.0.1 port {port}: Address already in use" in capfd.readouterr().err


def test_wrong_usage_is_explained(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--listen", "x"], ["--publish-service", "x"], ["--trust", "x"], ["--admin", "1"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
        assert "such as" in capfd.readouterr().err
    for arguments in (
        ["--manifests", ".", "--server", "http://127.0.0.1:9"],
        ["--manifests", ".", "--leader-elect"],
        ["--events", "-", "--publish-address", "192.0.2.1"],
        ["--events", "-", "--workers", "2"],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 2
        assert re.search(r"exclude each other|writes to an API|read by one process", capfd.readouterr().err)
    for url in ("ftp://shop.example/", "http://[::1/", "http:///cart", ""):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["explain", url])
        assert stopped.value.code == 2
        assert "is not the URL of a request, such as http://shop.example/cart" in capfd.readouterr().err
    assert json.dumps(cli.parser().format_help()).count("kingress --") == 4
