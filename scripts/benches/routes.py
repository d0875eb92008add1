"""The ingress with 5,000 routes: how long a change takes to be served, what the routes weigh, and that nothing fails.

The ingress is the command as anybody runs it, with one process, and follows an API server in another. A change is timed
from before it is written to that server until the answer to a request that was made after it; the requests come one
after another over one connection. So the figures hold the server's part, and half of one request's time.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benches.entrance.cluster import POD, Json, apart, cluster, endpoint_slice, free_port, host, ingress, running, tell
from benches.row import Row, row
from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, INGRESSES

ROUTES = 5000
EDITS = 20
SOCKETS = 8  # WebSockets that are open meanwhile
EDITED = ROUTES // 2
HOST = host(EDITED)
_AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_ASK = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()


def rows() -> Iterator[Row]:
    """Measure. About half a minute."""
    yield from apart("benches.routes")


@dataclass
class Pod:
    """A server that answers with its name, and as a WebSocket sends back what it gets."""

    name: bytes
    port: int = 0
    _server: asyncio.Server | None = None
    _idle: set[asyncio.StreamWriter] = field(default_factory=set)  # of requests, not of WebSockets

    async def start(self) -> Pod:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, POD, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def stop(self) -> None:
        """End as a pod does that has grace for its WebSockets: nothing new, and idle connections are closed."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._idle):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                self._idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self._idle.discard(writer)
                if b"Upgrade: websocket" in head:
                    writer.write(_AGREE)
                    while data := await reader.read(4096):
                        writer.write(data)
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(self.name), self.name))
        self._idle.discard(writer)
        writer.close()


class Measured:
    """The ingress that is measured, and the cluster it follows."""

    def __init__(self, client: Client, port: int) -> None:
        self._client = client
        self._port = port

    async def edit(self, service: str) -> None:
        """Write the route anew."""
        await self._put(ingress(EDITED, service))

    async def move(self, service: str, pod: Pod) -> None:
        """Write the endpoints of a Service anew."""
        await self._put(endpoint_slice(service, pod.port))

    async def _put(self, obj: Json) -> None:
        resource = INGRESSES if obj["kind"] == "Ingress" else ENDPOINT_SLICES
        await self._client.update(resource, obj)

    async def until(self, body: bytes, started: float) -> float:
        """Ask until the answer is as wanted; gives the milliseconds since a moment."""
        async with self.connected() as (reader, writer):
            while (await get(reader, writer))[1] != body:
                pass
        return (time.perf_counter() - started) * 1000

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Give a client's connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    """Make a request; gives status and body."""
    writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head.split()[1], await reader.readexactly(length)


def _measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ports = {"one": free_port(), "two": free_port()}
        api = stack.enter_context(cluster(folder, ROUTES, ports))
        port, started = free_port(), time.perf_counter()
        command = [sys.executable, "-m", "kingress", "--server", api, "--listen", f"127.0.0.1:{port}"]
        command += ["--access-log", str(folder / "access.log")]
        process = stack.enter_context(running(command, folder / "kingress.out", "kingress serves"))
        yield row(f"{ROUTES} routes are served after the start within", time.perf_counter() - started, "s", digits=2)
        yield row("its process weighs, with them", _resident(process.pid), "MB", most=100, digits=1)
        yield from asyncio.run(_changed(api, port, ports))
        yield row("its process weighs, after all that", _resident(process.pid), "MB", most=100, digits=1)


async def _changed(api: str, port: int, ports: dict[str, int]) -> list[Row]:
    client = Client.connect(api)
    pods = [await Pod(name.encode(), at).start() for name, at in ports.items()]
    measured = Measured(client, port)
    edits = [await _edited(measured, pods, turn) for turn in range(EDITS)]
    moves = [await _moved(measured, pods, turn) for turn in range(EDITS)]
    failed, answered, dropped = await _under_load(measured, pods)
    await client.close()
    under = f"during {EDITS} edits and a restart of every endpoint after each"
    return [
        row("a route edited is served after (median)", statistics.median(edits), "ms", most=30, digits=2),
        row("a route edited is served after (slowest)", max(edits), "ms", most=30, digits=2),
        row("an endpoint changed is used after (median)", statistics.median(moves), "ms", most=10, digits=2),
        row("an endpoint changed is used after (slowest)", max(moves), "ms", most=10, digits=2),
        row(f"requests failed of {answered}, {under}", failed, "", most=0),
        row(f"WebSockets dropped of {SOCKETS}, meanwhile", dropped, "", most=0),
    ]


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def _edited(measured: Measured, pods: list[Pod], turn: int) -> float:
    wanted = pods[(turn + 1) % 2]
    started = time.perf_counter()
    await measured.edit(wanted.name.decode())
    return await measured.until(wanted.name, started)


async def _moved(measured: Measured, pods: list[Pod], turn: int) -> float:
    wanted = pods[(turn + 1) % 2]
    started = time.perf_counter()
    await measured.move("one", wanted)
    return await measured.until(wanted.name, started)


async def _under_load(measured: Measured, pods: list[Pod]) -> tuple[int, int, int]:
    """Edit the route and restart all pods, one after the other, while requests are made and WebSockets are open.

    Gives how many requests failed, and were made, and how many WebSockets did not last.
    """
    failed = answered = 0
    stop = asyncio.Event()

    async def load() -> None:
        nonlocal failed, answered
        async with measured.connected() as (reader, writer):
            while not stop.is_set():
                answered += 1
                try:
                    status, _ = await get(reader, writer)
                    failed += status != b"200"
                except (asyncio.IncompleteReadError, ConnectionError):
                    failed += 1
                    return

    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        sockets = [await stack.enter_async_context(measured.connected()) for _ in range(SOCKETS)]
        for reader, writer in sockets:
            writer.write(_ASK)
            await reader.readuntil(b"\r\n\r\n")
        for _ in range(16):
            tasks.create_task(load())
        for turn in range(EDITS):
            await measured.edit(("one", "two")[turn % 2])
            for index, service in enumerate(("one", "two")):
                before, pods[index] = pods[index], await Pod(service.encode()).start()
                await measured.move(service, pods[index])
                await asyncio.sleep(0.02)  # its grace: the change is on its way
                before.stop()
        stop.set()
        dropped = sum(not kept for kept in [await _echoes(*each) for each in sockets])
    return failed, answered, dropped


async def _echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(5):
            writer.write(b"still")
            return await reader.readexactly(5) == b"still"
    return False


if __name__ == "__main__":
    tell(_measure())
