"""The life of one container: started, asked how it is, restarted, stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from netnslab.errors import LabError
from netnslab.kubelet import launch, probing
from netnslab.kubelet.backoff import Backoff
from netnslab.kubelet.environment import Missing
from netnslab.kubelet.images import Kind, announced
from netnslab.kubelet.launch import Instance, Place
from netnslab.kubelet.podspec import Probe, RestartPolicy
from netnslab.kubelet.podstatus import ContainerState, Ending, initial
from netnslab.kubelet.probing import Outcome, Target
from netnslab.kubelet.surroundings import executable, stamp

_LOOK_AGAIN = 1.0  # seconds until it is seen that an object which was missing has come

log = logging.getLogger(__name__)


class Runner:
    """Runs one container of a pod. `state` is always current; `changed` is called after every change of it."""

    def __init__(self, place: Place, changed: Callable[[], None], waiting: str = "") -> None:
        self.place = place
        self.state: ContainerState = replace(initial(place.container), reason=waiting or "ContainerCreating")
        self._changed = changed
        self._instance: Instance | None = None
        self._stopping = asyncio.Event()
        self._told: set[str] = set()
        self._stops: set[asyncio.Task[int]] = set()

    async def run(self, policy: RestartPolicy) -> None:
        """Run until the container has ended for good, restarting it as `policy` says."""
        self._announce()
        backoff = Backoff()
        while True:
            begun = time.monotonic()
            ending = await self._once()
            self._set(started="", ready=False, passed_startup=False)
            if self._stopping.is_set() or not _again(policy, ending):
                self._set(final=ending)
                return
            delay, backoff = backoff.after(time.monotonic() - begun)
            self._set(last=ending, reason="CrashLoopBackOff", message=f"started again after {delay:g} s")
            if delay:
                self._event("Warning", "BackOff", f"back-off {delay:g} s: container {self._name} ended again")
            if await self._stops_within(delay):
                self._set(final=ending)
                return
            sandbox = self.place.sandbox
            sandbox.turn_log(self._name)
            self.place.surroundings.log_times.turn(sandbox.log(self._name), sandbox.previous_log(self._name))
            self._set(restarts=self.state.restarts + 1)

    def pass_over(self) -> None:
        """Count a container that is to end, and whose command is not here, as done: a stand-in would never end."""
        moment, container = stamp(), self.place.container
        message = f"container {container.name} of image {container.image} cannot run here and counts as done"
        self._event("Normal", "ContainerPassed", message)
        self._set(final=Ending(0, moment, moment))

    async def stop(self, grace: float) -> None:
        """End the container: its preStop hook, SIGTERM, and SIGKILL when `grace` seconds are over."""
        self._stopping.set()
        instance = self._instance
        if instance is None or not instance.process.running:
            return
        begun = time.monotonic()
        if grace > 0:
            await self._before_stop(grace)
        await instance.process.stop(max(0.0, grace - (time.monotonic() - begun)))

    async def _stops_within(self, seconds: float) -> bool:
        """Wait so long; gives whether the container is to end for good meanwhile."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def listen(self) -> None:
        """Have a stand-in answer on ports that only a Service names, where there are new ones."""
        if self._instance is None:
            return
        for complaint in await self._instance.listen(self.place):
            self._event("Warning", "StandIn", f"the echo server in place of {self.place.container.image}: {complaint}")

    @property
    def stands_in(self) -> bool:
        """Whether it runs the echo server in the place of something else."""
        return self.place.running.kind is Kind.STAND_IN and announced(self.place.container)

    @property
    def _name(self) -> str:
        return self.place.container.name

    async def _once(self) -> Ending:
        """One run of the container, from its start to its end."""
        instance = self._instance = await self._started()
        begun = stamp()
        container = self.place.container
        started = container.startup is None
        self._set(started=begun, passed_startup=started, ready=started and container.readiness is None, reason="")
        probes = asyncio.create_task(self._probe(instance), name=f"probes {self.place.pod.key}/{self._name}")
        probes.add_done_callback(_tell_unexpected)
        try:
            code = await instance.process.wait()
        finally:
            instance.process.signal(signal.SIGKILL)  # where this task was cancelled; an ended process gets nothing
            probes.cancel()
            await asyncio.gather(probes, return_exceptions=True)
            instance.close()
        return Ending(128 - code if code < 0 else code, begun, stamp())

    async def _started(self) -> Instance:
        """Start it, again and again where that fails: as late each time as after a crash."""
        backoff = Backoff()
        while True:
            try:
                return await self._start_once()
            except (Missing, LabError) as error:
                reason = "CreateContainerConfigError" if isinstance(error, Missing) else "CreateContainerError"
                self._set(reason=reason, message=str(error))
                self._event("Warning", "Failed", f"container {self._name} cannot be started: {error}")
                delay, backoff = backoff.after(0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(delay, _LOOK_AGAIN)):
                        await self._something_else_than(str(error))

    async def _start_once(self) -> Instance:
        self.place = launch.prepared(self.place)
        instance = self._instance = await launch.start(self.place)
        try:
            await self.listen()
        except BaseException:
            instance.process.signal(signal.SIGKILL)
            instance.close()
            raise
        return instance

    async def _something_else_than(self, complaint: str) -> None:
        """Wait until what the container refers to is there, or something else is missing."""
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            try:
                launch.prepared(self.place)
            except Missing as error:
                if str(error) != complaint:
                    return
            else:
                if self.state.reason == "CreateContainerConfigError":
                    return

    async def _probe(self, instance: Instance) -> None:
        """Ask, for as long as this run lasts: first whether it has started, then whether it is ready and alive."""
        container = self.place.container
        if container.startup is not None:
            await self._passed_startup(container.startup, instance)
        async with asyncio.TaskGroup() as tasks:
            if container.readiness is not None:
                tasks.create_task(self._watch(container.readiness, self._tell_ready, eager=True))
            if container.liveness is not None:
                tasks.create_task(self._watch(container.liveness, self._tell_alive(instance)))

    async def _passed_startup(self, probe: Probe, instance: Instance) -> None:
        passed = asyncio.Event()
        failed = self._tell_alive(instance)

        def tell(success: bool, outcome: Outcome) -> None:  # as `probing.watch` calls it
            if success:
                passed.set()
            else:
                failed(success, outcome)

        watch = asyncio.create_task(self._watch(probe, tell))
        try:
            await passed.wait()
        finally:
            watch.cancel()
        self._set(passed_startup=True, ready=self.place.container.readiness is None)

    async def _watch(self, probe: Probe, tell: Callable[[bool, Outcome], None], *, eager: bool = False) -> None:
        def told(success: bool, outcome: Outcome) -> None:  # as `probing.watch` calls it
            if outcome.passed_over and outcome.passed_over not in self._told:
                self._told.add(outcome.passed_over)
                self._event("Normal", "ProbePassed", f"container {self._name}: {outcome.passed_over}")
            tell(success, outcome)

        await probing.watch(probe, self._target(), told, eager=eager)

    def _target(self) -> Target:
        return Target(
            node=self.place.surroundings.network,
            address=self.place.sandbox.addresses[0],
            container=self.place.container,
            execute=lambda command: launch.execute(self.place, command),
            executable=executable,
            stand_in=self.place.running.kind is Kind.STAND_IN,
        )

    def _tell_ready(self, success: bool, outcome: Outcome) -> None:  # as above
        if not success:
            self._event("Warning", "Unhealthy", f"Readiness probe failed: {outcome.message}")
        self._set(ready=success)

    def _tell_alive(self, instance: Instance) -> Callable[[bool, Outcome], None]:
        def tell(success: bool, outcome: Outcome) -> None:  # as above
            if not success:
                self._event("Warning", "Unhealthy", f"container {self._name} is restarted: {outcome.message}")
                ending = asyncio.create_task(instance.process.stop(self.place.pod.grace))
                self._stops.add(ending)
                ending.add_done_callback(self._stops.discard)

        return tell

    async def _before_stop(self, grace: float) -> None:
        """The preStop hook: its sleep, or its command where the host has it."""
        container = self.place.container
        try:
            async with asyncio.timeout(grace):
                await asyncio.sleep(container.pre_stop_sleep)
                if container.pre_stop and executable(container.pre_stop[0]):
                    await launch.execute(self.place, container.pre_stop)
        except (TimeoutError, LabError) as error:
            self._event("Warning", "FailedPreStopHook", f"container {self._name}: {error or 'no time left'}")

    def _announce(self) -> None:
        container = self.place.container
        if self.stands_in:
            message = f"the echo server stands in for image {container.image} of container {container.name}"
            self._event("Normal", "StandIn", message)

    def _set(self, **values: Any) -> None:
        self.state = replace(self.state, **values)
        self._changed()

    def _event(self, level: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self.place.surroundings.recorder.event(self.place.pod.reference, level, reason, message)


def _tell_unexpected(probes: asyncio.Task[None]) -> None:
    """Say that nobody asks a container any more though it runs: its state would stay for ever what it is now."""
    if not probes.cancelled() and (error := probes.exception()) is not None:
        log.error("the %s have ended", probes.get_name(), exc_info=error)


def _again(policy: RestartPolicy, ending: Ending) -> bool:
    return policy is RestartPolicy.ALWAYS or (policy is RestartPolicy.ON_FAILURE and ending.code != 0)
