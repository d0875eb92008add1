"""Runs the pods of one node, and keeps the node's own objects: Node and Lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kapi.cache import Cache, Change, Listener
from kapi.errors import AlreadyExists, ApiError, NotFound
from kapi.events import now
from kapi.network import Service
from kapi.resources import LEASES, NODES
from kapi.source import wait_synced
from netnslab.kept import kept
from netnslab.kubelet import node
from netnslab.kubelet.logtimes import LogTimes, Mark
from netnslab.kubelet.node import Machine
from netnslab.kubelet.pod import PodWorker
from netnslab.kubelet.sandbox import PodNetwork
from netnslab.kubelet.surroundings import Surroundings, stamp
from netnslab.kubelet.volumespec import SourceKind

Json = dict[str, Any]
T = TypeVar("T")

log = logging.getLogger(__name__)

_RENEW_SECONDS = 1.0  # a third of what the node lifecycle controller puts up with
_STATUS_EVERY = 300  # renewals: the Node's own status is written every five minutes, as kubelet does


def same(obj: Json) -> Json:
    """Decode nothing: the kubelets' caches hold the API's JSON. One function, so that kubelets share a cache."""
    return obj


class Kubelet:
    """One node's kubelet. `workers` are the pods it runs, by their uid."""

    def __init__(self, surroundings: Surroundings, network: PodNetwork, pods: Cache[Json], machine: Machine) -> None:
        self.workers: dict[str, PodWorker] = {}
        self._surroundings = surroundings
        self._network = network
        self._pods = pods
        self._machine = machine
        self._services_changed = asyncio.Event()

    async def run(self, *, tainted: bool) -> None:
        """Register the node, then run its pods until cancelled."""
        around = self._surroundings
        uid = await self._register(tainted=tainted)
        objects = (around.config_maps, around.secrets, around.accounts, around.volume_claims)
        await wait_synced(self._pods, around.services, *objects)
        async with asyncio.TaskGroup() as tasks:
            for name, keep in (("lease", partial(self._keep_lease, uid)), ("ports", self._keep_ports)):
                name = f"{name} of {around.node.name}"
                tasks.create_task(kept(name, keep), name=name)
            pods = _listening(self._pods, lambda change: self._take(change, tasks))
            maps = _listening(around.config_maps, partial(self._note_source, SourceKind.CONFIG_MAP))
            secrets = _listening(around.secrets, partial(self._note_source, SourceKind.SECRET))
            claims = _listening(around.volume_claims, self._note_claim)
            with pods, maps, secrets, claims, _listening(around.services, self._note_service):
                await asyncio.Event().wait()  # until cancelled

    def pod(self, key: str) -> PodWorker | None:
        """The running pod called `namespace/name`."""
        return next((worker for worker in self.workers.values() if worker.spec.key == key and worker.sandbox), None)

    def _take(self, change: Change[Json], tasks: asyncio.TaskGroup) -> None:
        """Take in one change of a pod, of whichever node."""
        old, new = change.old, change.new
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            worker = self.workers.get(old["metadata"]["uid"])
            if worker is not None:
                worker.gone()
        if new is None or (new.get("spec") or {}).get("nodeName") != self._surroundings.node.name:
            return
        uid = new["metadata"]["uid"]
        known = self.workers.get(uid)
        if known is not None:
            known.update(new)
        else:
            self._adopt(uid, new, tasks)

    def _adopt(self, uid: str, obj: Json, tasks: asyncio.TaskGroup) -> None:
        worker = self.workers[uid] = PodWorker(self._surroundings, self._network, obj)
        worker.update(obj)
        task = tasks.create_task(self._guard(worker), name=f"pod {worker.spec.key}")
        task.add_done_callback(lambda _: self.workers.pop(uid, None))

    async def _guard(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:  # the outermost edge of one pod's life: its failure must not end the other pods
            log.exception("pod %s is forgotten", worker.spec.key)

    def _note_service(self, _: Change[Service]) -> None:
        self._services_changed.set()

    def _note_source(self, kind: SourceKind, change: Change[Json]) -> None:
        for worker in self.workers.values():
            worker.renew_volumes(kind, change.key)

    def _note_claim(self, change: Change[Json]) -> None:
        for worker in self.workers.values():
            worker.renew_claims(change.key)

    async def _keep_ports(self) -> None:
        """Have stand-ins answer on ports that Services name, as Services come and go."""
        while True:
            await self._services_changed.wait()
            self._services_changed.clear()
            # A stand-in that ends meanwhile cannot listen any more; its runner deals with that.
            await asyncio.gather(*(worker.listen() for worker in self.workers.values()), return_exceptions=True)

    async def _register(self, *, tainted: bool) -> str:
        """Create the Node where it is not there yet, and give its uid."""
        around, machine = self._surroundings, self._machine
        try:
            obj = await around.client.create(NODES, node.node_object(around.node, machine, tainted=tainted))
        except AlreadyExists:
            obj = await around.client.get(NODES, around.node.name)
        await self._write_status(stamp())
        return str(obj["metadata"]["uid"])

    async def _write_status(self, since: str) -> None:
        status = node.node_status(self._surroundings.node, self._machine, stamp(), since)
        await self._surroundings.client.patch(
            NODES, self._surroundings.node.name, {"status": status}, subresource="status"
        )

    async def _keep_lease(self, uid: str) -> None:
        """Renew the node's Lease, and now and then its status, for ever."""
        since, renewals = stamp(), 0
        while True:
            try:
                await self._renew(uid)
                if renewals and renewals % _STATUS_EVERY == 0:
                    await self._write_status(since)
            except ApiError as error:
                log.warning("the lease of node %s could not be renewed: %s", self._surroundings.node.name, error)
            renewals += 1
            await asyncio.sleep(_RENEW_SECONDS)

    async def _renew(self, uid: str) -> None:
        moment = now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lease = node.lease_object(self._surroundings.node, moment, uid)
        patch = {"spec": lease["spec"]}
        try:
            await self._surroundings.client.patch(LEASES, lease["metadata"]["name"], patch, node.LEASE_NAMESPACE)
        except NotFound:
            await self._surroundings.client.create(LEASES, lease)


@contextmanager
def _listening(cache: Cache[T], listener: Listener[T]) -> Iterator[None]:
    """Hear of a cache's changes for the length of a block."""
    cache.listen(listener)
    try:
        yield
    finally:
        cache.unlisten(listener)


def pod_logs(
    kubelets: Mapping[str, Kubelet], *, previous: bool = False
) -> Callable[[str, str, str], Awaitable[bytes] | None]:
    """The API server's question for a container's log, answered by whichever kubelet runs the pod."""

    def answer(namespace: str, pod: str, container: str) -> Awaitable[bytes] | None:
        for kubelet in kubelets.values():
            worker = kubelet.pod(f"{namespace}/{pod}")
            path = worker.log_path(container, previous=previous) if worker is not None else None
            if path is not None:
                return asyncio.to_thread(_read, path)
        return None

    return answer


def log_times(kubelets: Mapping[str, Kubelet], times: LogTimes) -> Callable[[str, str, str, bool], list[Mark]]:
    """The API server's question for the times in a container's log, likewise."""

    def answer(namespace: str, pod: str, container: str, previous: bool) -> list[Mark]:  # as asked
        for kubelet in kubelets.values():
            worker = kubelet.pod(f"{namespace}/{pod}")
            path = worker.log_path(container, previous=previous) if worker is not None else None
            if path is not None:
                return times.of(path)
        return []

    return answer


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
