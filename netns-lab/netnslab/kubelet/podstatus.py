"""What a kubelet writes about a pod: from the states of its containers to `status`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from netnslab.kubelet.podspec import Container, PodSpec, RestartPolicy

Json = dict[str, Any]


class Phase(StrEnum):
    """The values of `status.phase`."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container's process ended. Times are RFC 3339 text."""

    code: int  # exit status, or 128 and the signal
    started: str
    finished: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container at one moment: running since `started`, or ended for good, or waiting for `reason`."""

    name: str
    image: str
    reason: str = "ContainerCreating"
    message: str = ""
    started: str = ""  # set while its process runs
    passed_startup: bool = False
    ready: bool = False
    restarts: int = 0
    final: Ending | None = None  # it has ended and will not be started again
    last: Ending | None = None  # the ending before the present run

    @property
    def running(self) -> bool:
        """Whether its process runs now."""
        return bool(self.started) and self.final is None


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses a status tells."""

    host_ips: tuple[str, ...]
    pod_ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod at one moment. `started` is when the kubelet took it on, as RFC 3339 text."""

    init: tuple[ContainerState, ...]
    main: tuple[ContainerState, ...]
    network: Network
    started: str


def initial(container: Container) -> ContainerState:
    """A container that has not been started yet."""
    return ContainerState(container.name, container.image)


def phase(spec: PodSpec, state: PodState) -> Phase:
    """Where a pod is in its life, from its containers (kubelet's getPhase)."""
    if any(c.final and c.final.code for c in state.init) and spec.restart_policy is RestartPolicy.NEVER:
        return Phase.FAILED
    if all(c.final for c in state.main):
        return Phase.FAILED if any(c.final and c.final.code for c in state.main) else Phase.SUCCEEDED
    if all(c.running or c.final or c.restarts or c.last for c in state.main):
        return Phase.RUNNING
    return Phase.PENDING


def status(spec: PodSpec, state: PodState, before: Json, now: str) -> Json:
    """The whole `status` of a pod; `before` is the one that the API has, whose condition times are kept."""
    present = phase(spec, state)
    network = state.network
    found = {
        "phase": present.value,
        "conditions": _conditions(_holding(spec, state, present, before), before, now),
        "hostIP": network.host_ips[0],
        "hostIPs": [{"ip": address} for address in network.host_ips],
        "podIP": network.pod_ips[0],
        "podIPs": [{"ip": address} for address in network.pod_ips],
        "startTime": state.started,
        "qosClass": before.get("qosClass") or "BestEffort",
        "containerStatuses": [_container_status(spec, c) for c in state.main],
    }
    if state.init:
        found["initContainerStatuses"] = [_container_status(spec, c) for c in state.init]
    return found


def _holding(spec: PodSpec, state: PodState, present: Phase, before: Json) -> dict[str, tuple[bool, str]]:
    """Each condition of a pod: whether it holds, and the reason where it does not."""
    done = present in (Phase.SUCCEEDED, Phase.FAILED)
    initialized = done or all(
        c.passed_startup if _sidecar(spec, c) else c.final is not None and not c.final.code for c in state.init
    )
    containers = not done and all(c.ready for c in state.main)
    gates = {item.get("type"): item.get("status") for item in before.get("conditions") or ()}
    passed = all(gates.get(gate) == "True" for gate in spec.readiness_gates)
    why = "PodCompleted" if done else "ContainersNotReady"
    return {
        "PodScheduled": (True, ""),
        "Initialized": (initialized, "" if initialized else "ContainersNotInitialized"),
        "ContainersReady": (containers, "" if containers else why),
        "Ready": (
            containers and passed,
            "" if containers and passed else "ReadinessGatesNotReady" if containers else why,
        ),
    }


def _sidecar(spec: PodSpec, state: ContainerState) -> bool:
    return any(container.sidecar for container in spec.init_containers if container.name == state.name)


def _conditions(wanted: Mapping[str, tuple[bool, str]], before: Json, now: str) -> list[Json]:
    """Conditions whose transition times move only when their status does; foreign ones stay."""
    known = {item.get("type"): item for item in before.get("conditions") or ()}
    found = [item for kind, item in known.items() if kind not in wanted]
    for kind, (holds, reason) in wanted.items():
        old = known.get(kind) or {}
        text = "True" if holds else "False"
        since = old.get("lastTransitionTime") if old.get("status") == text else now
        condition = {"type": kind, "status": text, "lastProbeTime": None, "lastTransitionTime": since or now}
        found.append({**condition, "reason": reason} if reason else condition)
    return found


def _container_status(spec: PodSpec, state: ContainerState) -> Json:
    run = f"netns-lab://{spec.uid}/{state.name}/{state.restarts}"
    return {
        "name": state.name,
        "image": state.image,
        "imageID": "",
        "containerID": run if state.started or state.final else "",
        "ready": state.ready or (state.final is not None and not state.final.code and _init(spec, state)),
        "started": state.running and state.passed_startup,
        "restartCount": state.restarts,
        "state": _state(state),
        "lastState": _ended(state.last) if state.last else {},
    }


def _init(spec: PodSpec, state: ContainerState) -> bool:
    return any(container.name == state.name for container in spec.init_containers)


def _state(state: ContainerState) -> Json:
    if state.final:
        return _ended(state.final)
    if state.started:
        return {"running": {"startedAt": state.started}}
    waiting = {"reason": state.reason}
    return {"waiting": waiting | ({"message": state.message} if state.message else {})}


def _ended(ending: Ending) -> Json:
    return {
        "terminated": {
            "exitCode": ending.code,
            "reason": ending.reason or ("Error" if ending.code else "Completed"),
            "startedAt": ending.started,
            "finishedAt": ending.finished,
        }
    }
