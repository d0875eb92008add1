"""The ingress with 5,000 routes: how long a change takes to be served, what the routes weigh, and that nothing fails.

A change is timed from the moment an informer has it until the answer to a request that was made after it; the requests
come one after another over one connection, so half of one request's time is the figure's own grain.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benches.row import Row, row
from kapi.cache import Cache, Decode
from kapi.events import Recorder
from kapi.resources import ENDPOINT_SLICES, INGRESS_CLASSES, INGRESSES, SERVICES, Resource
from kingress.controller import Controller
from kingress.gateway import Gateway
from kingress.server import Server
from kingress.settings import Settings

ROUTES = 5000
EDITS = 20
HOST = "h2500.example"
Json = dict[str, Any]


class Fed:
    """A source whose caches are filled by hand."""

    def __init__(self) -> None:
        self.caches: dict[Resource, Cache[Any]] = {}

    def cache(self, resource: Resource, decode: Decode[Any]) -> Cache[Any]:
        """See `kapi.source.Source`."""
        return self.caches.setdefault(resource, Cache(resource, decode))

    async def run(self) -> None:
        """See `kapi.source.Source`."""
        await asyncio.Event().wait()


def rows() -> Iterator[Row]:
    """Measure. About ten seconds."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Row]:
    source, settings = Fed(), Settings()
    controller = Controller(source, Recorder("kingress"), settings)
    controller.start()
    ports = [await _upstream(body) for body in (b"one", b"two")]
    _fill(source, ports)
    before, started = _resident(), time.perf_counter()
    for number in range(ROUTES):
        source.caches[INGRESSES].put(_ingress(number, "one"))
    loaded, weight = time.perf_counter() - started, _resident() - before
    gc.collect()
    gc.freeze()  # as the ingress does once it has read the cluster
    gateway = Gateway(settings, controller.routes.table, controller.upstreams, controller.metrics)
    async with Server(gateway) as server:
        port = await _listen(server)
        edits = [await _edited(source, port, ("one", "two")[turn % 2]) for turn in range(EDITS)]
        moves = [await _moved(source, port, ports[turn % 2], (b"one", b"two")[turn % 2]) for turn in range(EDITS)]
        _put_slice(source, "one", ports[0])
        failed, answered = await _under_load(source, port, ports)
    return [
        row(f"{ROUTES} routes are loaded within", loaded, "s"),
        row(f"{ROUTES} routes weigh", weight, "MB", most=60, digits=1),
        row("one process with them, this bench included", _resident(), "MB", most=100, digits=1),
        row("a route edited is served after (median)", statistics.median(edits), "ms", most=30, digits=2),
        row("a route edited is served after (slowest)", max(edits), "ms", most=30, digits=2),
        row("an endpoint changed is used after (median)", statistics.median(moves), "ms", most=10, digits=2),
        row("an endpoint changed is used after (slowest)", max(moves), "ms", most=10, digits=2),
        row(f"requests failed of {answered}, during {EDITS} edits and restarts of all endpoints", failed, "", most=0),
    ]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def _upstream(body: bytes) -> int:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()  # also at the end of the bench

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


async def _listen(server: Server) -> int:
    sock = socket.create_server(("127.0.0.1", 0))
    await server.listen(sock)
    return int(sock.getsockname()[1])


def _fill(source: Fed, ports: list[int]) -> None:
    kind = {"metadata": {"name": "kproxy"}, "spec": {"controller": "kproxy.io/ingress"}}
    source.caches[INGRESS_CLASSES].put(kind)
    for name, port in zip(("one", "two"), ports, strict=True):
        meta = {"namespace": "shop", "name": name}
        source.caches[SERVICES].put({"metadata": meta, "spec": {"ports": [{"name": "http", "port": 80}]}})
        _put_slice(source, name, port)


def _put_slice(source: Fed, name: str, port: int) -> None:
    meta = {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": name}}
    slice_ = {"metadata": meta, "addressType": "IPv4", "ports": [{"name": "http", "port": port}]}
    source.caches[ENDPOINT_SLICES].put({**slice_, "endpoints": [{"addresses": ["127.0.0.1"]}]})


def _ingress(number: int, service: str) -> Json:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": f"h{number}.example", "http": {"paths": paths}}]
    meta = {"namespace": "shop", "name": f"i{number}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": meta, "spec": {"ingressClassName": "kproxy", "rules": rules}}


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    writer.write(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head.split()[1], await reader.readexactly(length)


async def _until(port: int, body: bytes, started: float) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (await _get(reader, writer))[1] != body:
        pass
    writer.close()
    return (time.perf_counter() - started) * 1000


async def _edited(source: Fed, port: int, service: str) -> float:
    started = time.perf_counter()
    source.caches[INGRESSES].put(_ingress(2500, service))
    return await _until(port, service.encode(), started)


async def _moved(source: Fed, port: int, endpoint: int, body: bytes) -> float:
    source.caches[INGRESSES].put(_ingress(2500, "one"))
    started = time.perf_counter()
    _put_slice(source, "one", endpoint)
    return await _until(port, body, started)


async def _under_load(source: Fed, port: int, ports: list[int]) -> tuple[int, int]:
    """Edit the route and replace the endpoints while requests are made; gives how many failed, and were made."""
    failed = answered = 0
    stop = asyncio.Event()

    async def load() -> None:
        nonlocal failed, answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not stop.is_set():
            status, _ = await _get(reader, writer)
            answered += 1
            failed += status != b"200"
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(load())
        for turn in range(EDITS):
            source.caches[INGRESSES].put(_ingress(2500, ("one", "two")[turn % 2]))
            for name in ("one", "two"):
                _put_slice(source, name, ports[turn % 2])
            await asyncio.sleep(0.05)
        stop.set()
    return failed, answered
