"""The endpoints controller in this process: how soon a slice is written, and what a large cluster costs.

The API server is a stand-in that answers every write at once, so the figures are the controller's own.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from benches.row import Row, row
from kapi.cache import Cache
from kapi.client import Client
from kapi.events import Recorder
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from kapi.transport import Request
from kendpoints.controller import Controller, Settings

Json = dict[str, Any]

SMALL, LARGE = 10, 5_000  # Services
PODS_EACH = 10
CHANGES = 400
ROLLED = 1_000  # pods of the rolling update


def rows() -> Iterator[Row]:
    """Measure a small and a large cluster, and a rolling update."""
    small = asyncio.run(changes(SMALL))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = asyncio.run(changes(LARGE))
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield row("a pod turns ready, until its slice is sent: p50", small["p50"], "ms", most=10)
    yield row(f"the same among {LARGE * PODS_EACH} pods: p50", large["p50"], "ms", most=10)
    yield row("cost of a large cluster, a pod event: large over small", large["p50"] / small["p50"], "x", most=2)
    yield row(f"first sync of {LARGE} Services, {LARGE * PODS_EACH} pods", large["sync"], "s", most=20)
    yield row("memory it took", megabytes, "MB", most=500)
    writes, slices = asyncio.run(rolling())
    yield row(f"rolling update of {ROLLED} pods, batch 500 ms: slice writes", writes, "")
    yield row("slices behind it", slices, "")


class Echo:
    """An API server that takes every write and remembers how many there were."""

    def __init__(self) -> None:
        self.versions = itertools.count(1_000_000)
        self.slices: set[str] = set()
        self.writes = 0
        self.wrote = asyncio.Event()

    async def send(self, request: Request) -> Json:
        """Answer with the object as it would be stored."""
        is_slice = "/endpointslices" in request.path
        self.writes += is_slice
        version = str(next(self.versions))
        if request.method == "DELETE":
            self.slices.discard(request.path.rpartition("/")[2])
            return {"kind": "Status", "status": "Success"}
        meta = dict(request.body["metadata"])
        meta.setdefault("name", f"{meta.get('generateName', '')}{version}")
        meta.setdefault("uid", version)
        meta["resourceVersion"] = version
        if is_slice:
            self.slices.add(meta["name"])
            self.wrote.set()
        return {**request.body, "metadata": meta}

    def stream(self, request: Request) -> Any:
        """Nothing is watched here: the caches are fed by hand."""
        raise AssertionError(request.path)

    async def close(self) -> None:
        """Nothing to give back."""


class HandFed:
    """A source whose caches the bench fills."""

    def __init__(self) -> None:
        self.caches: dict[Any, Cache[Any]] = {}

    def cache(self, which: Any, decode: Any) -> Cache[Any]:
        """Give the one cache of a resource."""
        return self.caches.setdefault(which, Cache(which, decode))

    async def run(self) -> None:
        """Nothing runs by itself."""


def service(number: int) -> Json:
    spec = {"clusterIP": "10.96.0.1", "ipFamilies": ["IPv4"], "selector": {"app": f"a{number}"}}
    meta = {"name": f"s{number}", "namespace": "default", "uid": f"s{number}", "resourceVersion": "1"}
    return {"metadata": meta, "spec": spec | {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}


def pod(number: int, app: int, *, ready: bool = True, version: int = 1, suffix: str = "") -> Json:
    meta = {"name": f"p{number}{suffix}", "namespace": "default", "uid": f"p{number}{suffix}"}
    meta |= {"labels": {"app": f"a{app}", "hash": f"h{app}"}, "resourceVersion": str(version)}  # type: ignore[dict-item]  # JSON
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    containers = [{"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080}]}]
    status = {"phase": "Running", "podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"metadata": meta, "spec": {"nodeName": "n", "containers": containers}, "status": status}


@asynccontextmanager
async def controlled(services: int, pods: list[Json], settings: Settings) -> AsyncIterator[tuple[Cache[Any], Echo]]:
    """Run a controller over so many Services; inside, the first sync is done."""
    echo, source = Echo(), HandFed()
    controller = Controller(Client(echo), source, Recorder("bench"), settings)
    source.caches[NODES].replace([{"metadata": {"name": "n", "uid": "n"}}])
    source.caches[SERVICES].replace([service(number) for number in range(services)])
    source.caches[PODS].replace(pods)
    for which in (ENDPOINT_SLICES, ENDPOINTS):
        source.caches[which].replace([])
    running = asyncio.create_task(controller.run())
    await rest(controller, echo)
    yield source.caches[PODS], echo
    await rest(controller, echo)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def rest(controller: Controller, echo: Echo) -> None:
    """Wait until the controller has written something and has nothing left to do."""
    while not (echo.slices and controller.idle):  # noqa: ASYNC110  # the controller tells nobody that it rests
        await asyncio.sleep(0.005)


async def changes(services: int) -> dict[str, float]:
    """Turn pods ready and not ready, one after the other."""
    count = services * PODS_EACH
    started = time.perf_counter()
    pods = [pod(number, number % services) for number in range(count)]
    async with controlled(services, pods, Settings()) as (cache, echo):
        del pods
        sync = time.perf_counter() - started
        took = []
        for turn in range(CHANGES):
            number = turn // 2 * 7919 % count  # every pod that is met turns not ready, and ready again
            changed = pod(number, number % services, ready=turn % 2 == 1, version=turn + 2)
            echo.wrote.clear()
            began = time.perf_counter()
            cache.put(changed)
            await echo.wrote.wait()
            took.append((time.perf_counter() - began) * 1000)
    return {"sync": sync, "p50": statistics.median(took)}


async def rolling() -> tuple[int, int]:
    """Replace every pod of one Service, ten at a time, as a Deployment would."""
    pods = [pod(number, 0) for number in range(ROLLED)]
    async with controlled(1, pods, Settings(batch_period=0.5)) as (cache, echo):
        echo.writes = 0
        for first in range(0, ROLLED, 10):
            for number in range(first, first + 10):
                cache.put(pod(ROLLED + number, 0, suffix="-new", version=2))
                cache.remove(f"default/p{number}")
            await asyncio.sleep(0.02)
    return echo.writes, len(echo.slices)
