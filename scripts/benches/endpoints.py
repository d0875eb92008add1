"""The endpoints controller in this process: how soon a slice is written, and what a large cluster costs.

The API server is a stand-in that answers every write at once and shows it in the caches as a watch would, so the
figures are the controller's own.
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
RESTED = 2.0  # seconds
ROLLED = 1_000  # pods of the rolling update
GATHERED = 250  # of them in one batch


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
    yield row(f"CPU at rest among {LARGE * PODS_EACH} pods", large["rest"], "ms/s", most=1)
    writes, needed = asyncio.run(rolling())
    yield row(f"rolling update of {ROLLED} pods, batch 500 ms: slice writes", writes, "")
    yield row("the same over what Kubernetes' packing needs", writes / needed, "x", most=1)


class Echo:
    """An API server that takes every write and remembers how many there were."""

    def __init__(self, caches: dict[Any, Cache[Any]]) -> None:
        self._caches = caches
        self.versions = itertools.count(1_000_000)
        self.slices: dict[str, set[str]] = {}  # the pods in each
        self.writes = 0
        self.wrote = asyncio.Event()

    async def send(self, request: Request) -> Json:
        """Answer with the object as it would be stored, which the caches show a moment later."""
        is_slice = "/endpointslices" in request.path
        cache = self._caches[ENDPOINT_SLICES if is_slice else ENDPOINTS]
        self.writes += is_slice
        version = str(next(self.versions))
        later = asyncio.get_running_loop().call_soon
        if request.method == "DELETE":
            name = request.path.rpartition("/")[2]
            self.slices.pop(name, None)
            later(cache.remove, f"default/{name}")
            return {"kind": "Status", "status": "Success"}
        meta = dict(request.body["metadata"])
        meta.setdefault("name", f"{meta.get('generateName', '')}{version}")
        meta.setdefault("uid", version)
        meta["resourceVersion"] = version
        if is_slice:
            self.slices[meta["name"]] = {endpoint["targetRef"]["name"] for endpoint in request.body["endpoints"]}
            self.wrote.set()
        stored = {**request.body, "metadata": meta}
        later(cache.put, stored)
        return stored

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


Running = tuple[Cache[Any], Echo, Controller]  # the cache of pods, what is written, and who writes it


@asynccontextmanager
async def controlled(
    services: int, pods: list[Json], settings: Settings
) -> AsyncIterator[tuple[Cache[Any], Echo, Controller]]:
    """Run a controller over so many Services; inside, the first sync is done."""
    source = HandFed()
    echo = Echo(source.caches)
    controller = Controller(Client(echo), source, Recorder("bench"), settings)
    source.caches[NODES].replace([{"metadata": {"name": "n", "uid": "n"}}])
    source.caches[SERVICES].replace([service(number) for number in range(services)])
    source.caches[PODS].replace(pods)
    for which in (ENDPOINT_SLICES, ENDPOINTS):
        source.caches[which].replace([])
    running = asyncio.create_task(controller.run())
    await controller.rest()
    yield source.caches[PODS], echo, controller
    await controller.rest()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def changes(services: int) -> dict[str, float]:
    """Turn pods ready and not ready, one after the other."""
    count = services * PODS_EACH
    started = time.perf_counter()
    pods = [pod(number, number % services) for number in range(count)]
    async with controlled(services, pods, Settings()) as (cache, echo, _):
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
        return {"sync": sync, "p50": statistics.median(took), "rest": await at_rest()}


async def at_rest() -> float:
    """Measure the CPU that is used while nothing happens: milliseconds in a second."""
    await asyncio.sleep(RESTED)
    before = time.process_time()
    await asyncio.sleep(RESTED)
    return (time.process_time() - before) * 1000 / RESTED


async def rolling() -> tuple[int, int]:
    """Replace every pod of one Service, ten at a time, as a Deployment would; gives slice writes, made and needed.

    Needed is one write, in each batch, of each slice that loses a pod: the new ones have room there.
    """
    pods = [pod(number, 0) for number in range(ROLLED)]
    needed = 0
    async with controlled(1, pods, Settings(batch_period=0.5)) as (cache, echo, controller):
        echo.writes = 0
        for first in range(0, ROLLED, GATHERED):
            gone = {f"p{number}{suffix}" for number in range(first, first + GATHERED) for suffix in ("", "-new")}
            needed += sum(bool(members & gone) for members in echo.slices.values())
            for ten in range(first, first + GATHERED, 10):
                for number in range(ten, ten + 10):
                    cache.put(pod(ROLLED + number, 0, suffix="-new", version=2))
                    cache.remove(f"default/p{number}")
                await asyncio.sleep(0.01)
            await controller.rest()
    return echo.writes, needed
