"""The API server on one core, through HTTP, with every write on the disk; for writes, etcd beside it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.row import Row, row
from kapi.codec.owned import kept
from kapi.patch.owners import Owner
from kapi.resources import CONFIG_MAPS, PODS, SERVICES, Resource
from kapi.server.kinds import KINDS, Kind
from kapi.server.owning import begun, continued
from kapi.store.sqlite import SqliteStore

Json = dict[str, Any]

CREATES, CONNECTIONS, TURNS = 2_000, 8, 5
WATCHERS, EVENTS_PER_SECOND, SECONDS = 100, 1_000, 5
AS_FAST_AS_IT_GOES = 1_000_000  # events a second: no server keeps up with that
SERVICES_LISTED = 10_000
PODS_KEPT = 50_000
SERVER_CORE, CLIENT_CORE = 0, 1


def rows() -> Iterator[Row]:
    """Measure writes, watches, lists, memory and the start."""
    if (os.cpu_count() or 1) > CLIENT_CORE:
        os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(prefix="kapi-bench-") as folder:
        yield from _writes(Path(folder))
        yield from _watches(Path(folder))
        yield from _lists(Path(folder))
        yield from _sizes(Path(folder))


def missing() -> list[str]:
    """What could have been measured beside it."""
    return [] if shutil.which("etcd") else ["etcd"]


def _writes(folder: Path) -> Iterator[Row]:
    """Measure ours and etcd's in turns, so that both see the same machine."""
    ours, theirs = list[float](), list[float]()
    with _served(folder / "writes.db") as server, _etcd(folder / "etcd") as etcd:
        for turn in range(TURNS):
            ours.append(asyncio.run(_creates(server.port, turn)))
            if etcd:
                theirs.append(asyncio.run(_etcd_creates(etcd, turn)))
        rate = statistics.median(ours)
        yield row("creates/s, 8 connections", rate, "/s", least=1000, digits=0)
        p50, p99 = asyncio.run(_latency(server.port))
        yield row("create to watch event: p50", p50, "ms", most=3)
        yield row("create to watch event: p99", p99, "ms")
        if etcd:
            beside = statistics.median(theirs)
            yield row("etcd: creates/s, 8 connections, JSON gateway", beside, "/s", digits=0)
            p50, p99 = asyncio.run(_etcd_latency(etcd))
            yield row("etcd: create to watch event: p50, JSON gateway", p50, "ms")
            yield row("etcd: create to watch event: p99, JSON gateway", p99, "ms")
            yield row("creates/s: ours to etcd's", rate / beside, "", digits=2)


def _watches(folder: Path) -> Iterator[Row]:
    with _served(folder / "watches.db") as server:
        busy = server.seconds()
        written, seconds, heard = asyncio.run(_fan_out(server.port, EVENTS_PER_SECOND))
        share = (server.seconds() - busy) / seconds * 100
        yield row("100 watchers: events/s written", written / seconds, "/s", least=EVENTS_PER_SECOND * 0.98, digits=0)
        yield row("100 watchers: events that did not arrive", written * WATCHERS - heard, "", most=0)
        yield row("100 watchers: how busy that keeps the server's core", share, "%", digits=0)
    with _served(folder / "most.db") as server:
        written, seconds, heard = asyncio.run(_fan_out(server.port, AS_FAST_AS_IT_GOES))
        yield row("100 watchers: events/s at most", written / seconds, "/s", digits=0)
        yield row("100 watchers: events at most that did not arrive", written * WATCHERS - heard, "", most=0)


def _lists(folder: Path) -> Iterator[Row]:
    asyncio.run(_fill(folder / "lists.db", SERVICES, SERVICES_LISTED, _service))
    with _served(folder / "lists.db") as server:
        times = [asyncio.run(_list(server.port, SERVICES.path())) for _ in range(5)]
        yield row(f"the first list of {SERVICES_LISTED} Services", times[0], "s")
        yield row(
            f"list of {SERVICES_LISTED} Services: median of the next", statistics.median(times[1:]), "s", most=0.5
        )


def _sizes(folder: Path) -> Iterator[Row]:
    asyncio.run(_fill(folder / "pods.db", PODS, PODS_KEPT, _pod))
    started = time.perf_counter()
    with _served(folder / "pods.db") as server:
        yield row(f"start with {PODS_KEPT} pods", time.perf_counter() - started, "s", most=5)
        yield row(f"memory with {PODS_KEPT} pods", server.megabytes(), "MB", most=400, digits=0)
        took = asyncio.run(_list(server.port, PODS.path()))
        yield row(f"list of {PODS_KEPT} pods", took, "s")
        yield row("memory after that list", server.megabytes(), "MB", digits=0)


class Server:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def seconds(self) -> float:
        """How long its core has worked for it."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Memory that is its own."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6


@contextmanager
def _served(data: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "kapi.cli", "serve", "--listen", "127.0.0.1:0", "--data", str(data)]
    with subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield Server(process, int(line.partition(";")[0].rpartition(":")[2]))
        finally:
            process.terminate()


@contextmanager
def _etcd(folder: Path) -> Iterator[int]:
    """Run an etcd; gives its port, or 0 where it is not installed."""
    if not shutil.which("etcd"):
        yield 0
        return
    ports = [_free_port(), _free_port()]
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    command = ["etcd", "--data-dir", str(folder), "--logger=zap", "--log-level=error"]
    command += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"]
    command += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"]
    with subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *command]) as process:
        try:
            time.sleep(2)
            yield ports[0]
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Connection:
    """One HTTP connection with next to no cost of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to 127.0.0.1."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 26))

    async def post(self, path: str, body: Json) -> bytes:
        """Send an object and wait for the answer."""
        self.begin(path, body)
        return await self.answer()

    def begin(self, path: str, body: Json) -> None:
        """Send an object."""
        data = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self.writer.write(head.encode() + data)

    async def get(self, path: str) -> bytes:
        """Ask for something."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: b\r\nAccept: application/json\r\n\r\n".encode())
        return await self.answer()

    async def answer(self) -> bytes:
        """Read an answer of known length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 20" in head[:16], head + await self.reader.read(500)
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self.reader.readexactly(size)

    async def watch(self, path: str) -> None:
        """Open a watch, whose events are then read from `reader`."""
        self.writer.write(f"GET {path}&watch=true HTTP/1.1\r\nHost: b\r\nAccept: application/json\r\n\r\n".encode())
        await self.reader.readuntil(b"\r\n\r\n")


def _config_map(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value" * 20}}


async def _creates(port: int, turn: int) -> float:
    async def some(worker: int) -> None:
        connection = await Connection.open(port)
        for index in range(CREATES // CONNECTIONS):
            await connection.post(CONFIG_MAPS.path("default"), _config_map(f"c{turn}-{worker}-{index}"))
        connection.writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(some(worker) for worker in range(CONNECTIONS)))
    return CREATES / (time.perf_counter() - started)


async def _etcd_create(connection: Connection, name: str) -> None:
    key, value = _base64(name), _base64(json.dumps(_config_map(name)))
    compare = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": "0"}
    put = {"request_put": {"key": key, "value": value}}
    await connection.post("/v3/kv/txn", {"compare": [compare], "success": [put]})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _etcd_creates(port: int, turn: int) -> float:
    async def some(worker: int) -> None:
        connection = await Connection.open(port)
        for index in range(CREATES // CONNECTIONS):
            await _etcd_create(connection, f"c{turn}-{worker}-{index}")
        connection.writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(some(worker) for worker in range(CONNECTIONS)))
    return CREATES / (time.perf_counter() - started)


async def _version(port: int, path: str) -> str:
    connection = await Connection.open(port)
    listed = json.loads(await connection.get(f"{path}?limit=1"))
    connection.writer.close()
    return str(listed["metadata"]["resourceVersion"])


async def _latency(port: int) -> tuple[float, float]:
    path = CONFIG_MAPS.path("default")
    watcher, writer = await Connection.open(port), await Connection.open(port)
    await watcher.watch(f"{path}?resourceVersion={await _version(port, path)}")
    return await _times(watcher, writer, lambda name: writer.post(path, _config_map(name)), lambda name: f'"{name}"')


async def _etcd_latency(port: int) -> tuple[float, float]:
    watcher, writer = await Connection.open(port), await Connection.open(port)
    where = {"key": _base64("l"), "range_end": _base64("m")}
    watcher.begin("/v3/watch", {"create_request": where})
    await watcher.reader.readuntil(b'"created":true')
    return await _times(watcher, writer, lambda name: _etcd_create(writer, name), lambda name: f'"{_base64(name)}"')


async def _times(
    watcher: Connection, writer: Connection, create: Callable[[str], Awaitable[object]], seen: Callable[[str], str]
) -> tuple[float, float]:
    """Create one after the other, each when the one before has been seen; gives the median and the 99th of 100."""
    times = []
    for index in range(500):
        name = f"l{index:03}"
        started = time.perf_counter()
        writing = asyncio.ensure_future(create(name))
        while seen(name).encode() not in await watcher.reader.readuntil(b"\n"):
            pass
        times.append((time.perf_counter() - started) * 1000)
        await writing
    for connection in (watcher, writer):
        connection.writer.close()
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]


async def _fan_out(port: int, rate: int) -> tuple[int, float, int]:
    """Write events to watchers, `rate` a second; gives how many, how long it took, and how many arrived in all."""
    path = CONFIG_MAPS.path("default")
    version, heard = await _version(port, path), 0

    async def listen() -> None:
        nonlocal heard
        connection = await Connection.open(port)
        await connection.watch(f"{path}?resourceVersion={version}")
        opened.release()
        while data := await connection.reader.read(1 << 20):
            heard += data.count(b'{"type":"')

    opened = asyncio.Semaphore(0)
    watchers = [asyncio.create_task(listen()) for _ in range(WATCHERS)]
    for _ in range(WATCHERS):
        await opened.acquire()
    written = EVENTS_PER_SECOND * SECONDS
    started = time.perf_counter()

    async def write(worker: int) -> None:
        connection = await Connection.open(port)
        for index in range(worker, written, CONNECTIONS):
            await asyncio.sleep(max(0.0, started + index / rate - time.perf_counter()))
            await connection.post(path, _config_map(f"e{index}"))

    await asyncio.gather(*(write(worker) for worker in range(CONNECTIONS)))
    took = time.perf_counter() - started
    patience = time.perf_counter() + 30
    while heard < written * WATCHERS and time.perf_counter() < patience:  # noqa: ASYNC110  # counted by many tasks
        await asyncio.sleep(0.05)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return written, took, heard


async def _list(port: int, path: str) -> float:
    connection = await Connection.open(port)
    started = time.perf_counter()
    await connection.get(path)
    took = time.perf_counter() - started
    connection.writer.close()
    return took


async def _fill(data: Path, resource: Resource, count: int, make: Callable[[int], Json]) -> None:
    """Write objects straight into a database, as a server would have left them."""
    kind = next(kind for kind in KINDS if kind.resource == resource)
    place = resource.qualified
    store = SqliteStore(data, durability="process")
    await store.open(lambda _: None)
    for start in range(0, count, 2000):
        made = ((i, make(i)) for i in range(start, start + 2000))
        writes = (store.write(f"{place}/default/o{i}", kept(obj, _owned(kind, obj)), 0) for i, obj in made)
        await asyncio.gather(*writes)
    await store.close()


def _owned(kind: Kind, obj: Json) -> bytes:
    """Give the record of owners of an object that one client has created and another told the status of."""
    head = (kind.resource.api_version, obj["metadata"]["creationTimestamp"], {})
    owned = begun(kind, obj, Owner("kube-controller-manager", "Update", *head))
    before = {name: value for name, value in obj.items() if name != "status"}
    return continued(kind, before, obj, owned, Owner("kubelet", "Update", *head, "status"))


def _meta(index: int) -> Json:
    uid = f"00000000-0000-0000-0000-{index:012d}"
    created = "2026-01-01T00:00:00Z"
    return {
        "name": f"o{index}",
        "namespace": "default",
        "uid": uid,
        "creationTimestamp": created,
        "labels": {"app": "a"},
    }


def _service(index: int) -> Json:
    address = f"10.96.{index // 250}.{index % 250 + 2}"
    spec: Json = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"]}
    spec |= {"ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
    spec |= {"selector": {"app": f"a{index}"}, "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}
    status: Json = {"loadBalancer": {}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(index), "spec": spec, "status": status}


def _pod(index: int) -> Json:
    address = f"10.244.{index // 250}.{index % 250 + 2}"
    container: Json = {"name": "main", "image": "example.com/app:1", "imagePullPolicy": "IfNotPresent", "resources": {}}
    container |= {"ports": [{"containerPort": 8080, "protocol": "TCP"}], "terminationMessagePolicy": "File"}
    spec: Json = {"containers": [container], "nodeName": f"node-{index % 100}", "restartPolicy": "Always"}
    spec |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30}
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _meta(index), "spec": spec, "status": status}
