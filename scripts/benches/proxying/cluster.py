"""A cluster as the API would tell it, and the proxy's own path from there to the rules."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from kapi import decode
from kapi.cache import Cache
from kapi.network import EndpointSlice, Service
from kapi.resources import ENDPOINT_SLICES, SERVICES
from kproxy.backends import load
from kproxy.host import InNamespace
from kproxy.longlived import LongLived
from kproxy.model import LocalTraffic
from kproxy.settings import Settings, here, node_duties
from kproxy.sync import Done, Sync, World
from netnslab.kernel import Namespace

Json = dict[str, Any]
NODE = "here"


def service(number: int, name: str = "") -> Json:
    """Write one Service: one TCP port."""
    return {
        "metadata": {"namespace": "default", "name": name or f"service-{number}", "uid": str(number)},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": f"{IPv4Address(0x0A600001 + number)}",
            "clusterIPs": [f"{IPv4Address(0x0A600001 + number)}"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    }


def endpoint_slice(number: int, endpoints: int, unready: int = -1, at: str = "", port: int = 8080) -> Json:
    """Write its slice: a tenth of the endpoints on this node, one of them perhaps not ready."""
    first = 0x0B000001 + number * endpoints
    return {
        "metadata": {
            "namespace": "default",
            "name": f"service-{number}-x",
            "labels": {"kubernetes.io/service-name": f"service-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [at or f"{IPv4Address(first + i)}"],
                "conditions": {"ready": i != unready},
                "nodeName": NODE if i == 0 else f"node-{i}",
            }
            for i in range(endpoints)
        ],
    }


def slices(services: int, endpoints: int) -> Iterator[Json]:
    """Write them all, one at a time."""
    return (endpoint_slice(number, endpoints) for number in range(services))


class Running:
    """A proxy's caches, sync and backend in one network namespace; `finished` tells of each commit, and when it was."""

    def __init__(self, namespace: Namespace, mode: str) -> None:
        self.services: Cache[Service] = Cache(SERVICES, decode.service)
        self.slices: Cache[EndpointSlice] = Cache(ENDPOINT_SLICES, decode.endpoint_slice)
        self.finished: asyncio.Queue[tuple[float, Done]] = asyncio.Queue()
        self.backend = load(mode)(InNamespace(namespace.fd))
        self.settings = Settings(local_traffic=LocalTraffic(), drift_seconds=3600)
        self.world = World(self.services)
        self.sync = Sync(
            self.world,
            self.backend,
            self.settings,
            report=lambda about, problems: print(about, *problems),
            done=self._done,
        )
        self._known = LongLived()
        self._task: asyncio.Task[None] | None = None

    def fill(self, services: int, endpoints: int) -> None:
        """Take in a cluster."""
        self.slices.listen(lambda change: self.sync.touch(self.world.put_slice(change.old, change.new), slices=1))
        for number in range(services):
            self.services.put(service(number))
        for piece in slices(services, endpoints):
            self.slices.put(piece)
        gc.collect()
        self._known.start(time.monotonic())

    async def start(self) -> None:
        """Put everything in place."""
        self._task = asyncio.create_task(self.sync.run())
        self.sync.renew(node_duties(self.settings, None), here(self.settings, NODE, None))
        await self.finished.get()
        self._known.start(time.monotonic())

    def _done(self, done: Done) -> None:
        self._known.note(done.services)
        self.finished.put_nowait((time.perf_counter(), done))

    async def stop(self) -> None:
        """End; the namespace takes the rules with it."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.backend.close()
