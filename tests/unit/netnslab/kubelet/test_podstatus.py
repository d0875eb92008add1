from __future__ import annotations

from typing import Any

import pytest

from netnslab.kubelet import podreading, podstatus
from netnslab.kubelet.podspec import PodSpec
from netnslab.kubelet.podstatus import ContainerState, Ending, Network, PodState

NOW, BEFORE = "2026-01-01T00:00:10Z", "2026-01-01T00:00:00Z"
NETWORK = Network(("172.30.0.11", "fd30::b"), ("10.244.1.5", "fd44:0:0:1::5"))


def spec(policy: str = "Always", **rest: Any) -> PodSpec:
    containers = [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]
    return podreading.read(
        {"metadata": {"name": "p", "uid": "u"}, "spec": {"restartPolicy": policy, "containers": containers, **rest}}
    )


def creating(name: str) -> ContainerState:
    return ContainerState(name, "x")


def running(name: str, *, ready: bool = True) -> ContainerState:
    return ContainerState(name, "x", started=BEFORE, passed_startup=True, ready=ready)


def ended(name: str, code: int = 0) -> ContainerState:
    return ContainerState(name, "x", final=Ending(code, BEFORE, NOW))


def crashing(name: str) -> ContainerState:
    return ContainerState(name, "x", reason="CrashLoopBackOff", last=Ending(1, BEFORE, NOW))


def state(*main: ContainerState, init: tuple[ContainerState, ...] = ()) -> PodState:
    return PodState(init, main, NETWORK, BEFORE)


@pytest.mark.parametrize(
    ("policy", "containers", "phase", "ready"),
    [
        ("Always", state(creating("a"), creating("b")), "Pending", False),
        ("Always", state(running("a"), creating("b")), "Pending", False),
        ("Always", state(running("a"), running("b")), "Running", True),
        ("Always", state(running("a"), running("b", ready=False)), "Running", False),
        ("Always", state(running("a"), crashing("b")), "Running", False),
        ("Never", state(ended("a"), running("b")), "Running", False),
        ("Never", state(ended("a"), ended("b")), "Succeeded", False),
        ("Never", state(ended("a"), ended("b", 2)), "Failed", False),
        ("Never", state(creating("a"), creating("b"), init=(ended("i", 1),)), "Failed", False),
    ],
)
def test_phase_and_readiness_follow_from_the_containers(
    policy: str, containers: PodState, phase: str, ready: bool
) -> None:
    status = podstatus.status(spec(policy), containers, {}, NOW)
    assert status["phase"] == phase
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == ("True" if ready else "False")


def test_the_addresses_are_told_in_both_families() -> None:
    status = podstatus.status(spec(), state(running("a"), running("b")), {}, NOW)
    assert (status["podIP"], status["hostIP"]) == ("10.244.1.5", "172.30.0.11")
    assert [item["ip"] for item in status["podIPs"]] == list(NETWORK.pod_ips)
    assert [item["ip"] for item in status["hostIPs"]] == list(NETWORK.host_ips)


def test_a_conditions_time_moves_only_with_its_status() -> None:
    first = podstatus.status(spec(), state(running("a"), creating("b")), {}, BEFORE)
    second = podstatus.status(spec(), state(running("a"), running("b")), first, NOW)
    since = {condition["type"]: condition["lastTransitionTime"] for condition in second["conditions"]}
    assert since == {"PodScheduled": BEFORE, "Initialized": BEFORE, "ContainersReady": NOW, "Ready": NOW}


def test_conditions_of_others_are_kept_and_can_gate_readiness() -> None:
    gated = spec(readinessGates=[{"conditionType": "example.com/in-rotation"}])
    own = {"type": "example.com/in-rotation", "status": "False", "lastTransitionTime": BEFORE}
    waiting = podstatus.status(gated, state(running("a"), running("b")), {"conditions": [own]}, NOW)
    assert own in waiting["conditions"]
    conditions = {c["type"]: (c["status"], c.get("reason")) for c in waiting["conditions"]}
    assert conditions["Ready"] == ("False", "ReadinessGatesNotReady")
    assert conditions["ContainersReady"] == ("True", None)
    passed = podstatus.status(
        gated, state(running("a"), running("b")), {"conditions": [{**own, "status": "True"}]}, NOW
    )
    assert {c["type"]: c["status"] for c in passed["conditions"]}["Ready"] == "True"


def test_a_container_tells_what_it_does_and_how_it_ended_before() -> None:
    again = ContainerState(
        "a", "x", started=NOW, passed_startup=True, ready=True, restarts=2, last=Ending(137, BEFORE, NOW)
    )
    first, second = podstatus.status(spec(), state(again, crashing("b")), {}, NOW)["containerStatuses"]
    assert first["state"] == {"running": {"startedAt": NOW}}
    assert first["lastState"]["terminated"]["exitCode"] == 137
    assert (first["ready"], first["started"], first["restartCount"]) == (True, True, 2)
    assert second["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    assert second["started"] is False


def test_init_containers_that_succeeded_count_as_initialized() -> None:
    with_init = spec(initContainers=[{"name": "i", "image": "x"}])
    before = podstatus.status(with_init, state(creating("a"), creating("b"), init=(running("i"),)), {}, NOW)
    after = podstatus.status(with_init, state(running("a"), running("b"), init=(ended("i"),)), before, NOW)
    told = [{c["type"]: c["status"] for c in status["conditions"]}["Initialized"] for status in (before, after)]
    assert told == ["False", "True"]
    assert after["initContainerStatuses"][0]["ready"] is True
