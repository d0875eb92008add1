"""The life of one pod on its node: sandbox, init containers, containers, status, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

from kapi.errors import ApiError, NotFound, leaves
from kapi.resources import PODS
from netnslab.errors import LabError
from netnslab.kubelet import podfiles, podreading, podspec, podstatus
from netnslab.kubelet.backoff import Backoff
from netnslab.kubelet.images import Kind
from netnslab.kubelet.launch import Place
from netnslab.kubelet.podspec import PodSpec, RestartPolicy
from netnslab.kubelet.podstatus import ContainerState, Network, PodState
from netnslab.kubelet.podvolumes import PodVolumes
from netnslab.kubelet.runner import Runner
from netnslab.kubelet.sandbox import PodNetwork, Sandbox
from netnslab.kubelet.surroundings import Surroundings, stamp
from netnslab.kubelet.volumespec import SourceKind

Json = dict[str, Any]

log = logging.getLogger(__name__)

_RETRY = 1.0  # seconds until something that failed (the kernel, the API) is tried again


class PodWorker:
    """Runs one pod from its binding to its deletion. `run` ends when nothing of the pod is left."""

    def __init__(self, surroundings: Surroundings, network: PodNetwork, obj: Json) -> None:
        self.spec: PodSpec = podreading.read(obj)
        self.sandbox: Sandbox | None = None
        self._surroundings = surroundings
        self._network = network
        self._object = obj
        self._started = stamp()
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._exists = True
        self._init: tuple[Runner, ...] = ()
        self._main: tuple[Runner, ...] = ()
        self._volumes: PodVolumes | None = None
        self._sources_changed = asyncio.Event()

    def update(self, obj: Json) -> None:
        """Take in what the API has about this pod now."""
        before, self._object = self._object, obj
        if _marks(obj) != _marks(before):
            self.spec = podreading.marked(self.spec, obj)
            if self._volumes is not None and self._volumes.mark(self.spec):
                self._sources_changed.set()
        if self.spec.readiness_gates:
            self._changed.set()
        if "deletionTimestamp" in obj["metadata"]:
            self._ending.set()

    def gone(self) -> None:
        """Take in that the API no longer has this pod: nothing is left to be graceful for."""
        self._exists = False
        self._ending.set()

    async def listen(self) -> None:
        """Have stand-ins answer on the ports that Services name by now."""
        for runner in self._main:
            await runner.listen()

    async def run(self) -> None:
        """Run the pod until it has been deleted; its deletion is finished whatever becomes of it before."""
        for problem in self.spec.problems:
            self._warn("PartlyRun", f"left out: {problem}")
        self._tell_of_volumes()
        try:
            if self.spec.containers:
                await self._run_again_and_again()
            else:
                await self._give_up("InvalidPod", "there is no container in it that can be read")
        except Exception as error:
            log.exception("pod %s is given up", self.spec.key)
            told = "; ".join(f"{type(one).__name__}: {one}" for one in leaves(error))
            await self._give_up("PodGivenUp", f"the kubelet failed: {told}")
        while self._exists:
            await self._delete()

    def _tell_of_volumes(self) -> None:
        for volume in self.spec.volumes:
            if volume.claim:
                what = f"volume {volume.name}: a folder of the lab stands in for claim {volume.claim}"
                message = f"{what}; it stays while the lab runs, for every pod that uses the claim"
                self._surroundings.recorder.event(self.spec.reference, "Normal", "VolumeStandIn", message)
            if volume.unknown:
                what = f"volume {volume.name}: {volume.unknown} cannot be had here"
                self._warn("VolumeStandIn", f"{what}; an empty folder of the pod's own stands in for it")

    async def _run_again_and_again(self) -> None:
        """Run it in one sandbox after the other, should one fail, until it is to end."""
        backoff = Backoff()
        while not self._ending.is_set():
            try:
                async with self._connected() as self.sandbox:
                    self._furnish(self.sandbox)
                    await self._live(self.sandbox)
            except* LabError as errors:
                self._warn("FailedCreatePodSandBox", "; ".join(map(str, leaves(errors))))
                delay, backoff = backoff.after(0)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), max(delay, _RETRY))
            finally:
                self.sandbox = None

    async def _give_up(self, reason: str, message: str) -> None:
        """Tell why the pod does not run, and wait for its deletion.

        It stays Pending: a pod that failed would be replaced by its controller at once, with one like it.
        """
        self._warn(reason, message)
        try:
            await self._write({"phase": "Pending", "reason": reason, "message": message, "startTime": self._started})
        except ApiError as error:
            log.warning("the status of pod %s could not be written: %s", self.spec.key, error)
        await self._ending.wait()

    def _warn(self, reason: str, message: str) -> None:
        self._surroundings.recorder.event(self.spec.reference, "Warning", reason, message)

    def log_path(self, container: str, *, previous: bool = False) -> Path | None:
        """The file with a container's output, or that of its `previous` run; "" is the first container.

        None where there is no such container, or no such run.
        """
        names = [runner.place.container.name for runner in (*self._main, *self._init)]
        name = container or self.spec.containers[0].name
        if self.sandbox is None or name not in names:
            return None
        if not previous:
            return self.sandbox.log(name)
        path = self.sandbox.previous_log(name)
        return path if path.exists() else None

    def states(self) -> tuple[ContainerState, ...]:
        """How its containers are, init containers first."""
        return tuple(runner.state for runner in (*self._init, *self._main))

    def place(self, container: str) -> Place | None:
        """Where one of its containers runs, as it was prepared when that was started; None where there is none."""
        return next((runner.place for runner in self._main if runner.place.container.name == container), None)

    def renew_volumes(self, kind: SourceKind, key: str) -> None:
        """Take in that a ConfigMap or Secret has changed."""
        if self._volumes is not None and self._volumes.uses(kind, key):
            self._sources_changed.set()

    def renew_claims(self, key: str) -> None:
        """Take in that a PersistentVolumeClaim has come, or has changed."""
        if self._volumes is not None and self._volumes.claims(key):
            self._sources_changed.set()

    def _connected(self) -> AbstractAsyncContextManager[Sandbox]:
        folder = self._surroundings.folder / self.spec.uid
        return self._network.shared(folder) if self.spec.host_network else self._network.connected(folder)

    def _furnish(self, sandbox: Sandbox) -> None:
        """Write the pod's own files, and make its runners."""
        around = self._surroundings
        resolv_conf = podfiles.resolv_conf(self.spec, around.dns_address, around.zone, around.host_resolv_conf)
        (sandbox.folder / "resolv.conf").write_text(resolv_conf)
        (sandbox.folder / "kubeconfig").symlink_to(around.kubeconfig)
        (sandbox.folder / "hosts").write_text(podfiles.hosts(self.spec, sandbox.addresses, around.zone))
        self._volumes = PodVolumes(around, self.spec, sandbox)
        self._init = tuple(self._runner(sandbox, container) for container in self.spec.init_containers)
        self._main = tuple(self._runner(sandbox, container) for container in self.spec.containers)

    def _runner(self, sandbox: Sandbox, container: podspec.Container) -> Runner:
        waiting = bool(self.spec.init_containers) and container in self.spec.containers
        place = Place(self._surroundings, self.spec, container, sandbox)
        return Runner(place, self._changed.set, "PodInitializing" if waiting else "")

    async def _live(self, sandbox: Sandbox) -> None:
        """Run the containers, and tell the API, until the pod is to end; then end them."""
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(sandbox), name=f"status {self.spec.key}")
            containers = tasks.create_task(self._run_mounted(), name=f"containers {self.spec.key}")
            await self._ending.wait()
            grace = podreading.grace_of(self._object) if self._exists else 0
            await asyncio.gather(*(runner.stop(grace) for runner in self._main))
            await asyncio.gather(*(runner.stop(grace) for runner in reversed(self._init)))
            containers.cancel()
            telling.cancel()

    async def _run_mounted(self) -> None:
        """Run the containers when there are all volumes, and keep the files of these as their objects are."""
        assert self._volumes is not None
        await self._mounted(self._volumes)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_containers())
            while self._volumes.change:
                await self._sources_changed.wait()
                await self._mounted(self._volumes)  # while that fails, the containers keep what they have

    async def _mounted(self, volumes: PodVolumes) -> None:
        """Make or renew the volumes, again and again while something lacks; when another thing lacks, say so."""
        said, backoff = "", Backoff()
        while True:
            self._sources_changed.clear()
            try:
                return await volumes.make()
            except LabError as error:
                if str(error) != said:
                    said, backoff = str(error), Backoff()
                    self._changed.set()
                    self._warn("FailedMount", said)
            delay, backoff = backoff.after(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._sources_changed.wait(), max(delay, _RETRY))

    async def _run_containers(self) -> None:
        """Init containers one after the other, sidecars among them staying; then all containers together.

        When these have ended for good, the sidecars have done their part.
        """
        async with asyncio.TaskGroup() as sidecars:
            if await self._initialized(sidecars):
                async with asyncio.TaskGroup() as tasks:
                    for runner in self._main:
                        if self.spec.of_job and runner.stands_in:
                            runner.pass_over()
                        else:
                            tasks.create_task(runner.run(self.spec.restart_policy))
            if not self._ending.is_set():  # else whoever ends the pod ends them too
                for runner in reversed(self._init):
                    await runner.stop(self.spec.grace)

    async def _initialized(self, sidecars: asyncio.TaskGroup) -> bool:
        """Run the init containers; gives whether all have succeeded."""
        for runner in self._init:
            if runner.place.container.sidecar:
                sidecars.create_task(runner.run(RestartPolicy.ALWAYS))
                continue
            if runner.place.running.kind is Kind.STAND_IN:
                runner.pass_over()
                continue
            await runner.run(_for_init(self.spec.restart_policy))
            if runner.state.final is None or runner.state.final.code:
                return False
        return True

    async def _tell(self, sandbox: Sandbox) -> None:
        """Write the pod's status whenever it has changed; changes while one is being written become one."""
        hosts = self._surroundings.placement(sandbox).host_ips
        told: Json = {}
        while True:
            await self._changed.wait()
            self._changed.clear()
            state = PodState(
                tuple(runner.state for runner in self._init),
                tuple(runner.state for runner in self._main),
                Network(hosts, sandbox.addresses),
                self._started,
            )
            status = podstatus.status(self.spec, state, told or self._object.get("status") or {}, stamp())
            if status == told:
                continue
            try:
                await self._write(status)
                told = status
            except NotFound:
                self.gone()
            except ApiError as error:
                log.warning("the status of pod %s could not be written: %s", self.spec.key, error)
                await asyncio.sleep(_RETRY)
                self._changed.set()

    async def _write(self, status: Json) -> None:
        patch = {"metadata": {"uid": self.spec.uid}, "status": status}
        client = self._surroundings.client
        async with self._surroundings.writes:
            await client.patch(PODS, self.spec.name, patch, self.spec.namespace, subresource="status")

    async def _delete(self) -> None:
        """Delete the pod for good: its containers have ended."""
        client = self._surroundings.client
        try:
            async with self._surroundings.writes:
                await client.delete(PODS, self.spec.name, self.spec.namespace, uid=self.spec.uid, grace_seconds=0)
            self._exists = False
        except NotFound:
            self._exists = False
        except ApiError as error:
            log.warning("pod %s could not be deleted: %s", self.spec.key, error)
            await asyncio.sleep(_RETRY)


def _marks(obj: Json) -> tuple[Any, Any]:
    """A pod's labels and annotations, whatever they are."""
    return obj["metadata"].get("labels"), obj["metadata"].get("annotations")


def _for_init(policy: RestartPolicy) -> RestartPolicy:
    """An init container that fails is tried again unless the pod says never; one that succeeds never is."""
    return RestartPolicy.NEVER if policy is RestartPolicy.NEVER else RestartPolicy.ON_FAILURE
