"""Which node a pod gets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from netnslab.workloads import values
from netnslab.workloads.actions import Bind, Patch, Tell
from netnslab.workloads.scheduler import Load, decide

NOW = "2026-01-01T00:00:00Z"


def pod(name: str, owner: str = "", **spec: Any) -> values.Pod:
    owners = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}] if owner else []
    meta = {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners}
    return values.pod({"metadata": meta, "spec": spec})


def node(name: str, **fields: Any) -> values.Node:
    labels = fields.pop("labels", {})
    ready = {"type": "Ready", "status": fields.pop("ready", "True")}
    allocatable = {"pods": fields.pop("room", "110")}
    status = {"conditions": [ready], "allocatable": allocatable}
    return values.node({"metadata": {"name": name, "labels": labels}, "spec": fields, "status": status})


CONTROL_PLANE = node("cp", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
WORKERS = [node("w1"), node("w2"), node("w3")]


def placed(pods: list[values.Pod], nodes: list[values.Node], load: Load | None = None) -> list[str]:
    """The node each pod gets, in order; "" where it gets none."""
    found = {a.pod.name: a.node for a in decide(pods, nodes, load or Load(), NOW) if isinstance(a, Bind)}
    return [found.get(one.meta.name, "") for one in pods]


def test_pods_of_one_owner_are_spread_first_and_then_all_pods() -> None:
    nodes = [CONTROL_PLANE, *WORKERS]
    pods = [pod(f"a{n}", "a") for n in range(6)] + [pod(f"b{n}", "b") for n in range(3)]
    found = placed(pods, nodes)
    assert Counter(found[:6]) == {"w1": 2, "w2": 2, "w3": 2}
    assert Counter(found[6:]) == {"w1": 1, "w2": 1, "w3": 1}


def test_the_owners_pods_count_more_than_all_pods() -> None:
    load = Load()
    load.add(pod("x", "a"), "w1")
    for number in range(5):
        load.add(pod(f"y{number}"), "w2")
    assert placed([pod("new", "a")], WORKERS[:2], load) == ["w2"]


def test_what_leaves_a_node_no_longer_counts() -> None:
    load = Load()
    for change in (1, 1, -1, -1):
        load.add(pod("x", "a"), "w1", change)
    assert not load.owned
    assert load.pods["w1"] == 0


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (None, ""),
        ({"key": "gpu", "value": "yes"}, "n"),
        ({"key": "gpu", "value": "yes", "effect": "NoSchedule"}, "n"),
        ({"key": "gpu", "value": "no"}, ""),
        ({"key": "gpu", "operator": "Exists"}, "n"),
        ({"operator": "Exists"}, "n"),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, ""),
        ({"key": "other", "operator": "Exists"}, ""),
    ],
    ids=str,
)
def test_a_taint_repels_pods_that_do_not_tolerate_it(toleration: dict[str, str] | None, expected: str) -> None:
    tolerations = [toleration] if toleration else []
    assert placed([pod("p", tolerations=tolerations)], [node("n", taints=[TAINT])]) == [expected]


@pytest.mark.parametrize(("key", "expected"), [("node.kubernetes.io/unschedulable", "n"), ("gpu", "")])
def test_a_cordoned_node_takes_only_pods_that_tolerate_it(key: str, expected: str) -> None:
    tolerations = [{"key": key, "operator": "Exists", "effect": "NoSchedule"}]
    assert placed([pod("p", tolerations=tolerations)], [node("n", unschedulable=True)]) == [expected]


def test_a_pod_that_is_for_one_node_goes_to_no_other() -> None:
    fields = [{"key": "metadata.name", "operator": "In", "values": ["w2"]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}
    pods = [pod(str(number), affinity={"nodeAffinity": required}) for number in range(2)]
    assert placed(pods, WORKERS) == ["w2", "w2"]


def test_a_taint_that_only_prefers_repels_nobody() -> None:
    assert placed([pod("p")], [node("n", taints=[{**TAINT, "effect": "PreferNoSchedule"}])]) == ["n"]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def affinity(operator: str, *wanted: str, key: str = "disk") -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": key, "operator": operator, "values": list(wanted)}]}]
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "w0"),
        ({"nodeSelector": {"disk": "ssd"}}, "w1"),
        ({"nodeSelector": {"disk": "tape"}}, ""),
        ({"affinity": affinity("In", "ssd", "nvme")}, "w1"),
        ({"affinity": affinity("NotIn", "ssd")}, "w0"),
        ({"affinity": affinity("Exists")}, "w1"),
        ({"affinity": affinity("Gt", "3", key="size")}, "w1"),
        ({"affinity": affinity("Lt", "3", key="size")}, ""),
        ({"affinity": affinity("Gt", "ssd")}, ""),
        ({"affinity": affinity("Foo")}, ""),
        ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}]}}}}, ""),
        ({"affinity": affinity("In", "w1", key="metadata.name")}, ""),
        ({"nodeSelector": {"metadata.name": "w1"}}, ""),
    ],
    ids=str,
)
def test_a_pod_goes_only_where_it_asks_to(spec: dict[str, Any], expected: str) -> None:
    assert placed([pod("p", **spec)], [node("w0"), node("w1", labels={"disk": "ssd", "size": "4"})]) == [expected]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"ready": "False"}, "1 node(s) were not ready"),
        ({"ready": "Unknown"}, "1 node(s) were not ready"),
        ({"unschedulable": True}, "1 node(s) were unschedulable"),
        ({"taints": [TAINT]}, "1 node(s) had untolerated taint {gpu: yes}"),
        ({"room": "0"}, "1 Too many pods"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pod_that_fits_nowhere_is_told_why_in_status_and_event(fields: dict[str, Any], why: str) -> None:
    patch, tell = decide([pod("p")], [node("n", **fields)], Load(), NOW)
    assert isinstance(patch, Patch)
    assert isinstance(tell, Tell)
    (condition,) = patch.patch["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert condition["message"] == tell.message == f"0/1 nodes are available: {why}."


def test_what_was_told_already_is_not_told_again() -> None:
    (patch, _) = decide([pod("p")], [], Load(), NOW)
    assert isinstance(patch, Patch)
    again = values.pod({"metadata": {"name": "p", "namespace": "default", "uid": "p"}, **patch.patch})
    assert decide([again], [], Load(), NOW) == ()


def test_one_pod_that_fits_nowhere_holds_up_no_other() -> None:
    assert placed([pod("a", nodeSelector={"no": "where"}), pod("b")], WORKERS) == ["", "w1"]
