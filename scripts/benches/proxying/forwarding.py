"""The userspace mode beside HAProxy in tcp mode: bytes and connections a second, in turns, on loopback."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

from kapi.network import Protocol, Reference
from kproxy.backends.userspace.backend import Userspace
from kproxy.host import ThisHost
from kproxy.model import Duties, Frontend, Kind, NodeDuties, Place, Target

SINK, SOURCE, OURS, THEIRS = 9700, 9701, 9710, 9720  # plus one for the source
SECONDS = 2.0
ROUNDS = 3
_CHUNK = bytes(1 << 20)


def serve() -> None:
    """An endpoint that closes at once (port SINK), and one that sends as much as it can (SOURCE)."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        closing, sending = (socket.create_server(("127.0.0.1", p), backlog=4096) for p in (SINK, SOURCE))
        closing.setblocking(False)

        def take() -> None:
            closing.accept()[0].close()

        loop.add_reader(closing, take)

        async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(_CHUNK)
                    await writer.drain()
            except OSError:
                writer.close()

        await (await asyncio.start_server(send, sock=sending)).serve_forever()

    asyncio.run(main())


def forward() -> None:
    """The userspace backend, on uvloop."""

    async def main() -> None:
        backend = Userspace(ThisHost())
        here = ip_address("127.0.0.1")
        frontends = tuple(
            Frontend(Place(4, here, Protocol.TCP, OURS + n), Kind.CLUSTER_IP, f"b/b:{n}", (Target(here, SINK + n),))
            for n in (0, 1)
        )
        await backend.resync(NodeDuties(), {"b/b": Duties("b/b", Reference("Service", "b", "b"), frontends)})
        await asyncio.Event().wait()

    import uvloop  # noqa: PLC0415  # only where it is measured

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def haproxy(folder: Path) -> subprocess.Popen[bytes]:
    """One thread, tcp mode, splicing."""
    parts = [f"listen l{n}\n bind 127.0.0.1:{THEIRS + n}\n server s 127.0.0.1:{SINK + n}\n" for n in (0, 1)]
    defaults = "defaults\n mode tcp\n option splice-auto\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
    configuration = folder / "haproxy.cfg"
    configuration.write_text("global\n nbthread 1\n maxconn 4000\n" + defaults + "".join(parts))
    return subprocess.Popen(["haproxy", "-f", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def throughput(port: int) -> float:
    """Bytes a second of one connection."""
    with socket.create_connection(("127.0.0.1", port)) as reading:
        began, total = time.perf_counter(), 0
        buffer = bytearray(1 << 20)
        while time.perf_counter() - began < SECONDS:
            total += reading.recv_into(buffer)
    return total / (time.perf_counter() - began)


def connections(port: int) -> float:
    """Connections a second, eight at a time."""

    async def one(until: float) -> int:
        count, loop = 0, asyncio.get_running_loop()
        while time.perf_counter() < until:
            with socket.socket() as asking:
                asking.setblocking(False)
                await loop.sock_connect(asking, ("127.0.0.1", port))
                await loop.sock_recv(asking, 1)
            count += 1
        return count

    async def all_of_them() -> int:
        until = time.perf_counter() + SECONDS
        return sum(await asyncio.gather(*(one(until) for _ in range(8))))

    return asyncio.run(all_of_them()) / SECONDS


def _wait(port: int) -> None:
    for _ in range(100):
        with socket.socket() as asking:
            if not asking.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens at port {port}")


def measure() -> dict[str, float]:
    """Measure in turns and take the medians."""
    forking = multiprocessing.get_context("fork")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes = [forking.Process(target=work, daemon=True) for work in (serve, forward)]
        for process in processes:
            process.start()
            stack.callback(process.terminate)
        ports = {"ours": OURS}
        if shutil.which("haproxy"):
            peer = stack.enter_context(haproxy(folder))
            stack.callback(peer.terminate)
            ports["haproxy"] = THEIRS
        for port in ports.values():
            _wait(port + 1)
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, port in ports.items():
                found.setdefault(f"{name} bytes", []).append(throughput(port + 1))
                found.setdefault(f"{name} connections", []).append(connections(port))
    return {name: sorted(values)[ROUNDS // 2] for name, values in found.items()}


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    print(json.dumps(measure()))
    sys.stdout.flush()
