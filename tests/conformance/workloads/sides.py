"""Two clusters alike but for who makes the pods: the lab's controllers here, the released ones there.

In both a kubelet that runs nothing says of every pod that it is ready, and lets go of those that are deleted. The lab's
scheduler gives pods to nodes here; there the kubelet does that too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance.controllers import managed

from kapi.client import Client
from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.resources import NODES, PODS
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from netnslab import workloads

Json = dict[str, Any]

CONTROLLERS = "statefulset-controller,daemonset-controller,job-controller,ttl-after-finished-controller"
BROKEN = "broken"  # an image whose pods never become ready by themselves
SOMEWHERE = "somewhere"  # a node for pods that any will do for
SINCE = "2026-01-01T00:00:00Z"


class Cluster:
    """One of the two. `journal` tells by namespace which pods came and went, in their order."""

    def __init__(self, client: Client, *, schedules: bool) -> None:
        self.client = client
        self._schedules = schedules
        self._seen: set[str] = set()
        self.journal: dict[str, list[str]] = {}

    async def tend(self) -> None:
        """Be the kubelet, for ever."""
        while True:
            with contextlib.suppress(ApiError):
                async with self.client.watch(PODS) as stream:
                    async for event in stream:
                        if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                            await self._take(event["type"], event["object"])

    async def _take(self, what: str, pod: Json) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        journal = self.journal.setdefault(namespace, [])
        if what == "DELETED":
            journal.append(f"-{name}")
            return
        with contextlib.suppress(ApiError):  # it has changed or gone: there is another event
            if "deletionTimestamp" in pod["metadata"]:
                if pod["metadata"].get("deletionGracePeriodSeconds"):
                    await report(self.client, pod, ready=False, phase="Failed")
                    await self.client.delete(PODS, name, namespace, grace_seconds=0)
            elif pod["metadata"]["uid"] not in self._seen:  # a watch that begins anew tells of all pods again
                self._seen.add(pod["metadata"]["uid"])
                journal.append(f"+{name}")
                if self._schedules:
                    await self.client.bind(name, namespace, node_of(pod) or SOMEWHERE)
                await report(self.client, pod, ready=pod["spec"]["containers"][0]["image"] != BROKEN)


def node_of(pod: Json) -> str:
    """The node that a pod is for; "" where it is for any."""
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).values()
    terms = [term for wish in affinity for term in wish["nodeSelectorTerms"]]
    return str(terms[0]["matchFields"][0]["values"][0]) if terms else ""


async def report(client: Client, pod: Json, *, ready: bool = True, phase: str = "Running") -> None:
    """Write how a pod is."""
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": SINCE}
    meta = pod["metadata"]
    status: Json = {"phase": phase, "conditions": [condition]}
    if phase != "Running":
        state = {"terminated": {"exitCode": int(phase == "Failed"), "finishedAt": meta["creationTimestamp"]}}
        status["containerStatuses"] = [{"name": "c", "image": "i", "imageID": "", "state": state, "restartCount": 0}]
    await client.patch(PODS, meta["name"], {"status": status}, meta["namespace"], subresource="status")


@asynccontextmanager
async def ours() -> AsyncIterator[Cluster]:
    """A cluster with the lab's controllers."""
    async with ApiServer(MemoryStore()) as server:
        client = server.client()
        source, recorder = ApiSource(client), Recorder("netns-lab", client)
        running = [source.run(), recorder.run(), workloads.run(client, source, recorder)]
        async with _tended(Cluster(client, schedules=False), *running) as cluster:
            yield cluster


@asynccontextmanager
async def released() -> AsyncIterator[Cluster]:
    """A cluster with the released ones."""
    async with (
        managed(CONTROLLERS, "--secure-port=0") as client,
        _tended(Cluster(client, schedules=True)) as cluster,
    ):
        yield cluster


@asynccontextmanager
async def _tended(cluster: Cluster, *running: Any) -> AsyncIterator[Cluster]:
    await cluster.client.create(NODES, {"metadata": {"name": SOMEWHERE}})
    tasks = asyncio.gather(cluster.tend(), *running)
    try:
        yield cluster
    finally:
        tasks.cancel()
        await asyncio.gather(tasks, return_exceptions=True)
