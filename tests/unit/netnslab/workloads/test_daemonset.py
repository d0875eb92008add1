"""On which nodes a DaemonSet has a pod, and in which order it renews them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.netnslab.workloads.stage import Stage, template, workload

from kapi.resources import DAEMON_SETS
from netnslab.workloads import values
from netnslab.workloads.daemonpod import node_of
from netnslab.workloads.daemonset import decide
from netnslab.workloads.sets import daemon_set

Json = dict[str, Any]

CONTROL = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


def node(name: str, *taints: Json, **labels: str) -> Json:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


NODES = [node("control-plane", CONTROL), node("w1", disk="ssd"), node("w2"), node("w3", disk="ssd")]
WORKERS = ["w1", "w2", "w3"]


class Nodes(Stage):
    """A DaemonSet among nodes."""

    def __init__(self, nodes: list[Json], **spec: Any) -> None:
        self.nodes = list(nodes)
        super().__init__(DAEMON_SETS, workload(DAEMON_SETS, **spec), self._decided)
        self.settle()

    def _decided(self, _: Stage) -> Any:
        nodes = [values.node(obj) for obj in self.nodes]
        taken = {one.key for one in self.revisions}
        return decide(daemon_set(self.owner), self.pods, self.revisions, nodes, self.now, taken=taken)

    def on(self, *nodes: str) -> list[str]:
        """The names of the pods on nodes that are not about to go."""
        return [pod.meta.name for pod in self.pods if node_of(pod) in nodes and pod.active]

    def occupied(self) -> list[str]:
        """The nodes that have a pod, once for each."""
        return sorted(node_of(pod) for pod in self.pods if pod.active)

    def number(self, name: str) -> int:
        return int(self.status[name])


def running(**spec: Any) -> Nodes:
    made = Nodes(NODES, **spec)
    made.run()
    made.journal.clear()
    return made


def rolling(**by: int | str) -> Json:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": by}}


def affine(*expressions: Json, **term: Any) -> Json:
    terms = [{"matchExpressions": list(expressions), **term}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, WORKERS),
        ({"tolerations": [{"operator": "Exists"}]}, ["control-plane", *WORKERS]),
        ({"tolerations": [{"key": CONTROL["key"], "effect": "NoSchedule"}]}, ["control-plane", *WORKERS]),
        ({"nodeSelector": {"disk": "ssd"}}, ["w1", "w3"]),
        ({"affinity": affine({"key": "disk", "operator": "DoesNotExist"})}, ["w2"]),
        ({"affinity": affine(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["w2"]}])}, ["w2"]),
        ({"nodeName": "w3"}, ["w3"]),
        ({"nodeSelector": {"disk": "tape"}}, []),
    ],
    ids=["all", "any taint", "the taint", "selector", "affinity", "by name", "named", "none"],
)
def test_each_node_that_admits_a_pod_has_one(spec: Json, expected: list[str]) -> None:
    nodes = Nodes(NODES, template=template(**spec))
    assert nodes.occupied() == expected
    assert nodes.number("desiredNumberScheduled") == nodes.number("currentNumberScheduled") == len(expected)
    assert nodes.number("numberUnavailable") == len(expected)
    nodes.run()
    assert nodes.number("numberReady") == nodes.number("numberAvailable") == len(expected)
    assert nodes.number("numberUnavailable") == 0


def test_a_pod_is_for_one_node_stays_there_through_trouble_and_knows_its_revision() -> None:
    nodes = running()
    (name,) = nodes.on("w2")
    spec = nodes.pod(name)["spec"]
    fields = [{"key": "metadata.name", "operator": "In", "values": ["w2"]}]
    wanted = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert wanted == {"nodeSelectorTerms": [{"matchFields": fields}]}
    endured = {(each["key"].rpartition("/")[2], each["effect"]) for each in spec["tolerations"]}
    assert {("not-ready", "NoExecute"), ("unschedulable", "NoSchedule")} <= endured
    (revision,) = nodes.revisions
    assert nodes.pod(name)["metadata"]["labels"]["controller-revision-hash"] == revision.hash
    assert revision.meta.name == f"web-{revision.hash}"


def test_a_pod_that_has_ended_or_gone_is_replaced_on_its_node() -> None:
    nodes = running()
    (name,) = nodes.on("w1")
    assert nodes.ended(name) == [f"-{name}", f"+{nodes.on('w1')[0]}"]
    (name,) = nodes.on("w2")
    assert nodes.deleted(name) == []
    nodes.gone(name)
    assert nodes.occupied() == WORKERS


def test_nodes_that_come_and_change_gain_a_pod_or_lose_it() -> None:
    nodes = running()
    nodes.nodes.append(node("w4"))
    nodes.settle()
    assert nodes.occupied() == [*WORKERS, "w4"]
    nodes.nodes[2] = node("w2", {"key": "k", "effect": "NoSchedule"})
    assert nodes.settle() == []
    assert nodes.number("numberMisscheduled") == 1
    nodes.nodes[2] = node("w2", {"key": "k", "effect": "NoExecute"})
    nodes.settle()
    assert nodes.occupied() == ["w1", "w3", "w4"]
    nodes.nodes[1] = node("w1")
    nodes.change(template=template(nodeSelector={"disk": "ssd"}))
    nodes.run()
    assert nodes.occupied() == ["w3"]


def test_of_two_pods_on_a_node_the_older_stays() -> None:
    nodes = running()
    (name,) = nodes.on("w1")
    copy = nodes.pod(name)
    nodes.put({**copy, "metadata": {**copy["metadata"], "name": "x", "uid": "x", "creationTimestamp": "2027"}})
    assert nodes.settle() == ["-x"]


@pytest.mark.parametrize(
    ("strategy", "first"), [({}, 1), (rolling(maxUnavailable=2), 2), (rolling(maxUnavailable="34%"), 2)]
)
def test_as_many_nodes_at_a_time_are_renewed_as_may_be_without_a_pod(strategy: Json, first: int) -> None:
    nodes = running(**strategy)
    given_up = nodes.change(template=template("v2"))
    assert [name[0] for name in given_up] == ["-"] * first
    assert nodes.number("updatedNumberScheduled") == 0
    made = nodes.gone(*(name[1:] for name in given_up))
    assert [name[0] for name in made] == ["+"] * first
    assert nodes.ready(made[0][1:])[0].startswith("-")
    nodes.run()
    assert set(nodes.images().values()) == {"v2"}
    assert nodes.number("updatedNumberScheduled") == nodes.number("numberAvailable") == 3


def test_an_old_pod_that_does_not_work_is_renewed_in_any_case() -> None:
    nodes = running()
    (broken,) = nodes.on("w3")
    nodes.sick(broken)
    assert nodes.change(template=template("v2"))[0] == f"-{broken}"


def test_those_that_do_not_work_are_among_the_nodes_that_may_be_without_a_pod() -> None:
    nodes = running()
    (broken,) = nodes.on("w3")
    nodes.sick(broken)
    assert nodes.change(template=template("v2")) == [f"-{broken}"]


def test_pods_on_a_node_that_disappears_are_left_to_its_grace_and_those_only_meant_for_it_go() -> None:
    nodes = running()
    (meant,), (there,) = nodes.on("w3"), nodes.on("w2")
    nodes.pod(there)["spec"]["nodeName"] = "w2"
    del nodes.nodes[2:]
    assert nodes.settle() == [f"-{meant}"]
    assert nodes.number("desiredNumberScheduled") == 1


def test_a_pod_that_is_adopted_and_not_placed_yet_stays() -> None:
    nodes = running()
    spec, meta = template()["spec"], {"name": "x", "namespace": "default", "uid": "x", "labels": {"app": "web"}}
    nodes.put({"metadata": meta, "spec": spec})
    assert nodes.settle() == []
    assert nodes.pod("x")["metadata"]["ownerReferences"][0]["name"] == "web"


def test_with_a_surge_a_pod_that_somebody_deletes_is_replaced_before_it_has_gone() -> None:
    nodes = running(**rolling(maxSurge=1, maxUnavailable=0))
    (name,) = nodes.on("w1")
    assert nodes.deleted(name) == [f"+{nodes.on('w1')[0]}"]


def test_with_a_surge_the_new_pod_comes_before_the_old_one_goes() -> None:
    nodes = running(**rolling(maxSurge=1, maxUnavailable=0))
    (made,) = nodes.change(template=template("v2"))
    assert nodes.occupied() == ["w1", *WORKERS]
    given_up, following = nodes.ready(made[1:])
    assert (given_up[0], following[0]) == ("-", "+")
    assert nodes.occupied() == ["w1", "w2", *WORKERS[1:]]
    nodes.run()
    assert nodes.occupied() == WORKERS
    assert set(nodes.images().values()) == {"v2"}


def test_on_delete_pods_are_renewed_when_somebody_deletes_them() -> None:
    nodes = running(updateStrategy={"type": "OnDelete"})
    assert nodes.change(template=template("v2")) == []
    (name,) = nodes.on("w1")
    nodes.deleted(name)
    nodes.run()
    assert sorted(nodes.images().values()) == ["v1", "v1", "v2"]


def test_one_that_is_being_deleted_makes_nothing() -> None:
    nodes = running()
    nodes.owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    nodes.nodes.append(node("w4"))
    assert nodes.change(template=template("v2")) == []


@pytest.mark.parametrize("by", [{}, {"maxSurge": 1, "maxUnavailable": 0}], ids=["in its place", "surge"])
def test_a_pod_that_may_stay_where_none_is_wanted_goes_when_it_would_be_renewed(by: Json) -> None:
    nodes = running(**rolling(**by))
    nodes.nodes[2] = node("w2", {"key": "k", "effect": "NoSchedule"})
    nodes.change(template=template("v2"))
    nodes.run()
    assert nodes.occupied() == ["w1", "w3"]
    assert nodes.number("numberMisscheduled") == 0


STRATEGIES = [{}, rolling(maxUnavailable="50%"), rolling(maxSurge=2, maxUnavailable=0)]


@settings(max_examples=50)
@given(
    st.sampled_from(STRATEGIES),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from(("end", "ready", "sick")))),
)
def test_whatever_happens_every_node_has_one_pod_of_the_present_template_in_the_end(
    strategy: Json, happens: list[tuple[str, int, str]]
) -> None:
    nodes = Nodes(NODES, **strategy)
    for image, number, what in happens:
        nodes.change(template=template(image))
        name = next((pod.meta.name for pod in nodes.pods[number:] if pod.active), "")
        if name:
            happen: dict[str, Callable[[str], Any]] = {"end": nodes.ended, "ready": nodes.ready, "sick": nodes.sick}
            happen[what](name)
    nodes.run()
    assert nodes.occupied() == WORKERS
    assert set(nodes.images().values()) == {nodes.owner["spec"]["template"]["spec"]["containers"][0]["image"]}
    counts = ("desired", "current", "updated")
    assert {nodes.number(f"{count}NumberScheduled") for count in counts} == {3}
    assert nodes.number("numberAvailable") == 3
    assert nodes.number("numberMisscheduled") == nodes.number("numberUnavailable") == 0
