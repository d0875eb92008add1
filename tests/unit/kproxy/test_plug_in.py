"""The example core of docs/reference/plug-in.md: sixty lines are all that a proxy asks for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
from tests.ports import unused_port

from kapi.client import Client
from kapi.source import ApiSource
from kproxy.backends.memory import Memory
from kproxy.proxy import Proxy
from kproxy.rules.evaluate import Packet
from kproxy.testing import endpoint_slice

ROOT = Path(__file__).parents[3]
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": "default", "name": "web"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80}]},
}


def backends(backend: Memory) -> set[str]:
    packet = Packet(ip_address("10.244.1.9"), ip_address("10.96.0.1"), "tcp", 80, "eth0")
    outcome = backend.evaluate(packet)
    return {str(address) for address, _ in outcome.endpoints()} or {e.value for e in outcome.endings()}


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not wanted():  # noqa: ASYNC110  # any state of the rules is waited for, not an event
            await asyncio.sleep(0.005)


async def served(process: asyncio.subprocess.Process) -> str:
    """Wait until the core listens; returns its URL."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0]
    raise AssertionError("the core ended before it listened")


async def test_a_core_of_sixty_lines_is_enough() -> None:
    command = (sys.executable, "-u", str(ROOT / "examples" / "core.py"), str(unused_port()))
    core = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        url = await served(core)
        slices = f"{url}/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-1"
        services = f"{url}/api/v1/namespaces/default/services/web"
        await put(services, SERVICE)
        client = Client.connect(url)
        source, backend = ApiSource(client), Memory()
        proxy = Proxy(source, "here", backend)
        running = [asyncio.create_task(work) for work in (source.run(), proxy.run())]
        await until(lambda: backends(backend) == {"reject"})
        for address in ("10.244.1.2", "10.244.1.3"):
            await put(slices, endpoints(address))
            await until(lambda address=address: backends(backend) == {address})  # type: ignore[misc]  # bound now
        async with aiohttp.ClientSession() as http, http.delete(services) as answer:
            assert answer.status == 200
        await until(lambda: backends(backend) == {"untouched"})
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await client.close()
    finally:
        core.kill()
        await core.wait()


class Wire:
    """Between the proxy and a core: it can be cut, and mended."""

    def __init__(self, core: int) -> None:
        self.port = unused_port()
        self._core = core
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    def cut(self) -> None:
        assert self._server
        self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._core)
        self._writers |= {writer, onward}
        await asyncio.gather(_copy(reader, onward), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()


async def test_what_is_known_stays_while_the_api_is_away_and_what_changed_follows_when_it_is_back() -> None:
    port = unused_port()
    command = (sys.executable, "-u", str(ROOT / "examples" / "core.py"), str(port))
    core = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    wire, backend = Wire(port), Memory()
    client = Client.connect(f"http://127.0.0.1:{wire.port}")
    running: list[asyncio.Task[None]] = []
    try:
        url = await served(core)
        await put(f"{url}/api/v1/namespaces/default/services/web", SERVICE)
        slices = f"{url}/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-1"
        await put(slices, endpoints("10.244.1.2"))
        await wire.mend()
        source = ApiSource(client)
        proxy = Proxy(source, "here", backend)
        running = [asyncio.create_task(work) for work in (source.run(), proxy.run())]
        await until(lambda: backends(backend) == {"10.244.1.2"})
        wire.cut()
        await put(slices, endpoints("10.244.1.3"))
        await asyncio.sleep(1)  # long enough to have asked in vain
        assert backends(backend) == {"10.244.1.2"}
        await wire.mend()
        await until(lambda: backends(backend) == {"10.244.1.3"})
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await client.close()
        wire.cut()
        core.kill()
        await core.wait()


async def put(url: str, obj: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as http, http.put(url, json=obj) as answer:
        assert answer.status == 200


def endpoints(address: str) -> dict[str, Any]:
    return endpoint_slice("default/web", 4, [{"addresses": [address]}], [{"name": "http", "port": 8080}], "web-1")


def test_the_example_stays_an_example() -> None:
    code = (ROOT / "examples" / "core.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 60
