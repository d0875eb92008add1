"""The example core of docs/reference/plug-in.md: sixty lines are all that a proxy asks for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp

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


async def test_a_core_of_sixty_lines_is_enough(unused_tcp_port: int) -> None:
    command = (sys.executable, "-u", str(ROOT / "examples" / "core.py"), str(unused_tcp_port))
    core = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        url = await served(core)
        slices = f"{url}/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-1"
        services = f"{url}/api/v1/namespaces/default/services/web"
        async with aiohttp.ClientSession() as http:

            async def put(path: str, obj: dict[str, Any]) -> None:
                async with http.put(path, json=obj) as answer:
                    assert answer.status == 200

            await put(services, SERVICE)
            client = Client.connect(url)
            source, backend = ApiSource(client), Memory()
            proxy = Proxy(source, "here", backend)
            running = [asyncio.create_task(work) for work in (source.run(), proxy.run())]
            await until(lambda: backends(backend) == {"reject"})
            for last in ("2", "3"):
                listed = [{"addresses": [f"10.244.1.{last}"]}]
                await put(slices, endpoint_slice("default/web", 4, listed, [{"name": "http", "port": 8080}], "web-1"))
                await until(lambda last=last: backends(backend) == {f"10.244.1.{last}"})  # type: ignore[misc]  # bound now
            async with http.delete(services) as answer:
                assert answer.status == 200
            await until(lambda: backends(backend) == {"untouched"})
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await client.close()
    finally:
        core.kill()
        await core.wait()


def test_the_example_stays_an_example() -> None:
    code = (ROOT / "examples" / "core.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 60
