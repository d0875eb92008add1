"""Several processes on one port, and restarts that nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.ports import unused_port

from kapi.client import Client
from kapi.resources import INGRESS_CLASSES, INGRESSES, LEASES, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
Run = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def url(upstream: Any) -> AsyncIterator[str]:
    """An API server with a small shop."""
    async with ApiServer(MemoryStore()) as server:
        sock = socket.create_server(("127.0.0.1", 0))
        await server.listen(sock)
        await fill(server.client(), (await upstream(b"hello")).port)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


async def fill(client: Client, port: int) -> None:
    meta = {"namespace": "default", "name": "web"}
    spec = {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "http", "port": port}]}
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": "shop.example", "http": {"paths": paths}}]
    group = "networking.k8s.io/v1"
    for resource, obj in (
        (INGRESS_CLASSES, {"apiVersion": group, "kind": "IngressClass", "metadata": {"name": "kproxy"}}),
        (SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}),
        (INGRESSES, {"apiVersion": group, "kind": "Ingress", "metadata": meta}),
    ):
        if resource is INGRESS_CLASSES:
            obj["spec"] = {"controller": "kproxy.io/ingress"}
        elif resource is INGRESSES:
            obj["spec"] = {"ingressClassName": "kproxy", "rules": rules}
        await client.create(resource, obj)


@pytest.fixture
async def run(url: str) -> AsyncIterator[Run]:
    """Gives a function that starts an ingress and waits until each of its processes serves."""
    started: list[asyncio.subprocess.Process] = []

    async def begin(*arguments: str, workers: int = 1) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "kingress", "--server", url, "--workers", str(workers), *arguments]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        for _ in range(workers):
            assert b"kingress serves" in await asyncio.wait_for(process.stdout.readline(), 15)
        return process

    yield begin
    for process in started:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.communicate(), 10)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


async def get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    try:
        return await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    finally:
        writer.close()


async def text(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110  # asked of other processes: nothing tells us
            await asyncio.sleep(0.05)


async def test_two_processes_share_the_port_the_metrics_the_limit_and_health(run: Run) -> None:
    port, admin = unused_port(), unused_port()
    process = await run(
        "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--access-log", "off", workers=2
    )
    for _ in range(40):
        assert b" 200 " in await get(port)
    one, other = children(process.pid)
    _, metrics = await text(admin, "/metrics")
    assert 'path="/",status="200"} 40\n' in metrics
    assert "kingress_processes 2\n" in metrics
    assert (await text(admin, "/readyz"))[0] == 200

    os.kill(other, signal.SIGKILL)
    await eventually(lambda: is_true(lambda: len(children(process.pid)) == 2 and other not in children(process.pid)))

    async def ready() -> bool:
        return (await text(admin, "/readyz"))[0] == 200

    await eventually(ready)
    assert one in children(process.pid)
    for _ in range(10):
        assert b" 200 " in await get(port)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def is_true(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_all_processes_together_keep_the_limit_of_connections(run: Run) -> None:
    port = unused_port()
    await run("--listen", f"127.0.0.1:{port}", "--connections", "5", "--access-log", "off", workers=2)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    for reader, writer in opened:
        writer.write(GET)
        assert b" 200 " in await reader.readline()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert b" 503 " in await asyncio.wait_for(reader.readline(), 5)
    for _, each in [*opened, (reader, writer)]:
        each.close()


async def test_a_restart_that_hands_the_sockets_over_fails_no_request(run: Run, tmp_path: Path) -> None:
    port, admin, path = unused_port(), unused_port(), str(tmp_path / "handover")
    arguments = ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--handover", path]
    arguments += ["--access-log", "off"]
    first = await run(*arguments)
    done = asyncio.Event()
    answered = 0

    async def load() -> None:
        nonlocal answered
        while not done.is_set():
            assert b" 200 " in await get(port)
            answered += 1

    tasks = [asyncio.create_task(load()) for _ in range(4)]
    for workers in (2, 1):
        second = await run(*arguments, workers=workers)
        assert await asyncio.wait_for(first.wait(), 15) == 0
        first, before = second, answered
        await eventually(lambda before=before: is_true(lambda: answered > before + 20))  # type: ignore[misc]
    done.set()
    await asyncio.gather(*tasks)
    assert (await text(admin, "/readyz"))[0] == 200


async def test_it_serves_without_the_rights_of_root(run: Run) -> None:
    port = unused_port()
    process = await run("--listen", f"127.0.0.1:{port}", "--user", "nobody", "--access-log", "off")
    status = status_of(process.pid)
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert set(uids) == {"65534"}
    assert "CapEff:\t0000000000000000" in status
    assert b" 200 " in await get(port)


async def test_of_several_ingresses_one_at_a_time_holds_the_lease_and_writes_the_status(run: Run, url: str) -> None:
    client = Client.connect(url)

    async def holder() -> str:
        lease = await client.get(LEASES, "kingress-leader", "kube-system")
        return str(lease["spec"]["holderIdentity"])

    first, second = [
        await run(
            "--listen", "127.0.0.1:0", "--leader-elect", "--publish-address", f"203.0.113.{i}", "--access-log=off"
        )
        for i in (1, 2)
    ]

    async def published(address: str) -> bool:
        found = await client.get(INGRESSES, "web", "default")
        return bool(((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") == [{"ip": address}])

    await eventually(lambda: published("203.0.113.1"))
    before = await holder()
    first.terminate()
    await asyncio.wait_for(first.communicate(), 10)
    await eventually(lambda: published("203.0.113.2"))
    assert await holder() not in ("", before)
    await client.close()
    assert second.returncode is None


async def test_behind_a_load_balancer_that_speaks_the_proxy_protocol(run: Run) -> None:
    port = unused_port()
    process = await run("--listen", f"127.0.0.1:{port}", "--proxy-protocol", "--trust", "127.0.0.0/8")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PROXY TCP4 192.0.2.7 10.0.0.1 4096 80\r\n")
    await asyncio.sleep(0.05)
    for _ in range(2):
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"hello"), 5)
    writer.close()
    process.terminate()
    out, _ = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    assert out.count(b"192.0.2.7 - - [") == 2
