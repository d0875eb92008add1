"""A DNS server on loopback, in a thread with its own event loop as in its own process, and `dig` to ask it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from kdns.chain import Setup, load
from kdns.server import Limits, Server, bind
from kdns.settings import Settings
from kdns.testing import HandFed, ask, endpoint_slice, namespace, service

MANY = [f"10.245.{n // 250}.{n % 250 + 1}" for n in range(500)]
OBJECTS = [
    namespace("default"),
    service("web", ips=["10.96.0.7"], ports=["http:80"]),
    service("db", ports=["pg:5432"]),
    endpoint_slice("db-1", "db", [{"addresses": ["10.244.1.3"], "hostname": "db-0"}], ports=["pg:5432"]),
    service("many", ports=["http:80"]),
    endpoint_slice("many-1", "many", MANY, ports=["http:80"]),
    service("alias", external="web.default.svc.cluster.local"),
]


@dataclass
class Running:
    """A server that runs in a thread; `call` runs a function there."""

    port: int
    source: HandFed
    loop: asyncio.AbstractEventLoop
    failures: list[str] = field(default_factory=list)

    def call(self, function: Callable[[], None]) -> None:
        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(5)


@pytest.fixture
def dig() -> Callable[..., list[str]]:
    """Ask and get the lines of `dig +short`, or with other options all lines."""
    if not shutil.which("dig"):
        pytest.skip("dig is not installed (Debian package bind9-dnsutils)")

    def run(port: int, *question: str, server: str = "127.0.0.1") -> list[str]:
        command = ["dig", f"@{server}", "-p", str(port), "+tries=1", "+timeout=3", "+nocomments", "+nostats", "+nocmd"]
        done = subprocess.run([*command, *question], capture_output=True, text=True, check=True, timeout=10)
        return [line for line in done.stdout.splitlines() if line and not line.startswith(";")]

    return run


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(address: str) -> Iterator[Running]:
    """The server, with the objects above."""
    started: list[Running] = []
    ready = threading.Event()
    stop: list[Callable[[], bool]] = []

    async def serve() -> None:
        source = HandFed()
        chain = load(Setup(Settings(), time.time, time.monotonic, source))
        source.sync_all(OBJECTS)
        listener = bind(ip_address(address), 0)
        loop = asyncio.get_running_loop()
        job = loop.create_task(Server(chain, Limits(streams=8, idle=1.5)).run([listener]))
        made = Running(listener.port, source, loop)
        loop.set_exception_handler(lambda _, context: made.failures.append(str(context)))
        stop.append(job.cancel)
        started.append(made)
        await ask(chain, "web.default.svc.cluster.local")
        ready.set()
        try:
            await job
        except asyncio.CancelledError:
            pass
        finally:
            listener.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield started[0]
    started[0].loop.call_soon_threadsafe(stop[0])
    thread.join(10)
    assert not thread.is_alive()
    assert not started[0].failures
