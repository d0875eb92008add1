"""How long the service proxy takes: a cold start, one changed endpoint, and its memory, on the real kernel.

Everything happens in a network namespace of its own. `rows` runs each measurement in a process of its own, so that
one does not disturb the memory of another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from benches.row import Row, row
from kapi.network import Endpoint, EndpointPort, EndpointSlice, Protocol, Service, ServicePort, ServiceType
from kproxy.backends import Backend
from kproxy.backends.nftables.backend import Nftables
from kproxy.host import InNamespace
from kproxy.model import LocalTraffic
from kproxy.settings import Settings, here, node_duties
from kproxy.sync import Done, Sync, World
from netnslab.kernel import Namespace

NODE = "here"
ENDPOINTS = 10
CHANGES = 400


def world(services: int, endpoints: int) -> World:
    """Make a cluster: each Service with one TCP port and one slice, a tenth of the endpoints on this node."""
    known: dict[str, Service] = {}
    slices: dict[str, tuple[EndpointSlice, ...]] = {}
    for number in range(services):
        name = f"service-{number}"
        port = ServicePort("http", Protocol.TCP, 80, 8080)
        address = IPv4Address(0x0A600001 + number)
        service = Service("default", name, str(number), ServiceType.CLUSTER_IP, False, (address,), (port,))
        known[service.key] = service
        slices[service.key] = (endpoint_slice(name, number * endpoints, endpoints),)
    return World(known, slices)


def endpoint_slice(name: str, first: int, endpoints: int) -> EndpointSlice:
    """Make the slice of one Service."""
    found = tuple(
        Endpoint((IPv4Address(0x0B000001 + first + i),), node_name=NODE if i == 0 else f"node-{i}")
        for i in range(endpoints)
    )
    return EndpointSlice("default", f"{name}-x", "", name, 4, found, (EndpointPort("http", Protocol.TCP, 8080),), {})


async def measure(services: int, endpoints: int, changes: int) -> dict[str, float]:
    """Start cold, then take endpoints away and bring them back; seconds of each, and megabytes of the process."""
    with Namespace.create() as namespace:
        backend: Backend = Nftables(InNamespace(namespace.fd))
        finished: asyncio.Queue[Done] = asyncio.Queue()
        sync = Sync(
            known := world(services, endpoints),
            backend,
            settings := Settings(local_traffic=LocalTraffic(), drift_seconds=3600),
            report=lambda about, problems: print(about, *problems),
            done=finished.put_nowait,
        )
        running = asyncio.create_task(sync.run())
        gc.freeze()
        started = time.perf_counter()
        sync.renew(node_duties(settings, None), here(settings, NODE, None))
        await finished.get()
        cold = time.perf_counter() - started
        times = [await change(known, sync, finished, number) for number in range(changes)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    times.sort()
    return {
        "cold": cold,
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def change(known: World, sync: Sync, finished: asyncio.Queue[Done], number: int) -> float:
    """Flip the readiness of one endpoint; seconds until it is committed."""
    keys = list(known.slices)
    key = keys[(number // 2) * 37 % len(keys)]
    old = known.slices[key][0]
    position = 3 % len(old.endpoints)
    flipped = replace(old.endpoints[position], ready=not old.endpoints[position].ready)
    new = replace(old, endpoints=(*old.endpoints[:position], flipped, *old.endpoints[position + 1 :]))
    started = time.perf_counter()
    sync.touch(known.put_slice(old, new))
    await finished.get()
    return time.perf_counter() - started


def measured(services: int) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benches.proxy", str(services)]
    ran = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def rows() -> list[Row]:
    """Give the table's rows."""
    table: list[Row] = []
    for services, most, change, slowest, memory in (
        (1_000, None, None, None, None),
        (10_000, 3.0, None, None, 250.0),
        (20_000, 6.0, 1.0, 5.0, None),
    ):
        found = measured(services)
        size = f"{services:,} Services x {ENDPOINTS}"
        table.append(row(f"cold start, {size}", found["cold"], "s", most=most))
        table.append(row(f"one endpoint changed, p50, {size}", found["p50"] * 1e3, "ms", most=change))
        table.append(row(f"one endpoint changed, p99, {size}", found["p99"] * 1e3, "ms", most=slowest))
        table.append(row(f"memory of the process, {size}", found["megabytes"], "MB", most=memory, digits=0))
    return table


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), ENDPOINTS, CHANGES))))
