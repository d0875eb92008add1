"""What a StatefulSet does, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.netnslab.workloads.stage import Stage, template, workload

from kapi.resources import CONTROLLER_REVISIONS, STATEFUL_SETS
from netnslab.workloads.sets import stateful_set
from netnslab.workloads.statefulset import decide

PARALLEL = {"podManagementPolicy": "Parallel"}


def stage(replicas: int = 3, **spec: Any) -> Stage:
    """A StatefulSet that has been created, and acted on once."""
    owner = workload(STATEFUL_SETS, replicas=replicas, serviceName="nginx", **spec)

    def decided(now: Stage) -> Any:
        taken = {one.key for one in now.revisions}
        one = stateful_set(now.owner)
        return decide(one, now.pods, now.revisions, now.now, taken=taken, claims=now.claims)

    made = Stage(STATEFUL_SETS, owner, decided)
    made.settle()
    return made


def running(replicas: int = 3, **spec: Any) -> Stage:
    """One all of whose pods are ready."""
    made = stage(replicas, **spec)
    made.run()
    made.journal.clear()
    return made


def updating(partition: int = 0, **rolling: Any) -> dict[str, Any]:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition, **rolling}}}


def test_pods_come_one_after_the_other_each_when_the_one_before_is_ready() -> None:
    web = stage(3)
    assert web.journal == ["+web-0"]
    assert web.ready("web-0") == ["+web-1"]
    assert web.sick("web-0") == []
    assert web.ready("web-1") == []
    assert web.ready("web-0") == ["+web-2"]
    assert web.ready("web-2") == []
    assert web.status["readyReplicas"] == web.status["availableReplicas"] == web.status["replicas"] == 3


def test_pods_of_a_parallel_set_come_all_at_once() -> None:
    assert stage(3, **PARALLEL).journal == ["+web-0", "+web-1", "+web-2"]


def test_a_pod_has_its_name_the_services_domain_and_labels_to_choose_it_by() -> None:
    web = stage(1, ordinals={"start": 5})
    pod = web.pod("web-5")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-5", "nginx")
    assert pod["metadata"]["labels"] == {
        "app": "web",
        "apps.kubernetes.io/pod-index": "5",
        "statefulset.kubernetes.io/pod-name": "web-5",
        "controller-revision-hash": web.status["updateRevision"],
    }
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("StatefulSet", "web", True)


@pytest.mark.parametrize(
    ("policy", "first", "then"), [({}, ["-web-4"], ["-web-3"]), (PARALLEL, ["-web-4", "-web-3", "-web-2"], [])]
)
def test_the_highest_go_first(policy: dict[str, str], first: list[str], then: list[str]) -> None:
    web = running(5, **policy)
    assert web.change(replicas=2) == first
    assert web.gone("web-4") == then


def test_while_a_pod_that_stays_is_not_ready_none_is_given_up() -> None:
    web = running(3)
    web.sick("web-0")
    assert web.change(replicas=1) == []
    assert web.ready("web-0") == ["-web-2"]


def test_the_one_that_is_not_ready_is_itself_given_up() -> None:
    web = running(3)
    web.sick("web-2")
    assert web.change(replicas=1) == ["-web-2"]
    web = running(4)
    web.sick("web-1")
    assert web.change(replicas=1) == ["-web-3"]
    web.sick("web-2")
    assert web.gone("web-3") == []


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_comes_back_under_its_name(phase: str) -> None:
    web = running(3)
    assert web.ended("web-1", phase) == ["-web-1"]
    assert web.gone("web-1") == ["+web-1"]


def test_a_pod_that_somebody_deletes_comes_back_when_it_has_gone() -> None:
    web = running(3)
    assert web.deleted("web-0") == []
    assert web.gone("web-0") == ["+web-0"]


def test_pods_that_are_numbered_from_elsewhere_make_room() -> None:
    web = running(2)
    assert web.change(ordinals={"start": 1}) == ["+web-2"]
    assert web.ready("web-2") == ["-web-0"]
    web.run()
    assert web.names() == ["web-1", "web-2"]


def test_an_update_goes_from_the_highest_down_each_when_the_one_before_is_ready() -> None:
    web = running(3)
    assert web.change(template=template("v2")) == ["-web-2"]
    assert web.gone("web-2") == ["+web-2"]
    assert web.status["updatedReplicas"] == 1
    assert web.ready("web-2") == ["-web-1"]
    assert web.status["currentRevision"] != web.status["updateRevision"]
    web.run()
    assert set(web.images().values()) == {"v2"}
    assert web.status["currentRevision"] == web.status["updateRevision"]
    assert web.status["currentReplicas"] == web.status["updatedReplicas"] == 3


def test_an_update_of_a_parallel_set_goes_one_by_one_too() -> None:
    web = running(3, **PARALLEL)
    assert web.change(template=template("v2")) == ["-web-2"]
    assert web.gone("web-2") == ["+web-2"]
    assert web.ready("web-2") == ["-web-1"]


@pytest.mark.parametrize(
    ("most", "first"),
    [
        (2, ["-web-3", "-web-2"]),
        ("75%", ["-web-3", "-web-2", "-web-1"]),
        ("74%", ["-web-3", "-web-2"]),
        ("1%", ["-web-3"]),
    ],
)
def test_as_many_at_a_time_are_renewed_as_may_be_missing(most: int | str, first: list[str]) -> None:
    web = running(4, **PARALLEL, **updating(maxUnavailable=most))
    assert web.change(template=template("v2")) == first


def test_pods_that_do_not_work_are_among_those_that_may_be_missing() -> None:
    web = running(4, **PARALLEL, **updating(maxUnavailable=2))
    web.sick("web-0")
    assert web.change(template=template("v2")) == ["-web-3"]
    web.gone("web-3")
    assert web.ready("web-3") == ["-web-2"]


def test_without_a_number_that_may_be_missing_a_pod_waits_for_those_after_it_only() -> None:
    web = running(3, **PARALLEL)
    web.sick("web-0")
    assert web.change(template=template("v2")) == ["-web-2"]
    web.gone("web-2")
    assert web.ready("web-2") == ["-web-1"]


def test_below_the_partition_pods_stay_and_come_back_with_the_earlier_template() -> None:
    web = running(3, **updating(2))
    web.change(template=template("v2"))
    web.run()
    assert web.images() == {"web-0": "v1", "web-1": "v1", "web-2": "v2"}
    web.deleted("web-0")
    web.gone("web-0")
    assert web.images()["web-0"] == "v1"
    web.deleted("web-2")
    web.run()
    assert web.images() == {"web-0": "v1", "web-1": "v1", "web-2": "v2"}
    web.change(**updating(0))
    web.run()
    assert set(web.images().values()) == {"v2"}


def test_on_delete_pods_are_renewed_when_somebody_deletes_them() -> None:
    web = running(2, updateStrategy={"type": "OnDelete"})
    assert web.change(template=template("v2")) == []
    web.deleted("web-0")
    web.run()
    assert web.images() == {"web-0": "v2", "web-1": "v1"}


def test_a_template_that_comes_back_is_the_newest_revision_and_none_is_written_anew() -> None:
    web = running(1)
    first = web.status["updateRevision"]
    web.change(template=template("v2"))
    web.run()
    web.change(template=template("v1"))
    web.run()
    assert web.status["updateRevision"] == first
    assert sorted((one.number, one.meta.name == first) for one in web.revisions) == [(2, False), (3, True)]


def test_no_more_earlier_revisions_are_kept_than_asked_for() -> None:
    web = running(1, revisionHistoryLimit=2)
    for number in range(2, 7):
        web.change(template=template(f"v{number}"))
        web.run()
    assert sorted(one.number for one in web.revisions) == [4, 5, 6]


def test_a_revision_tells_why_it_came_about_and_is_a_patch_that_brings_it_back() -> None:
    web = running(1)
    web.owner["metadata"]["annotations"] = {"kubernetes.io/change-cause": "a better image"}
    web.change(template=template("v2"))
    obj = next(one for one in web.made(CONTROLLER_REVISIONS) if one["revision"] == 2)
    assert obj["metadata"]["annotations"] == {"kubernetes.io/change-cause": "a better image"}
    assert obj["data"] == {"spec": {"template": {**template("v2"), "$patch": "replace"}}}


def test_a_taken_name_of_a_revision_is_counted_and_another_one_found() -> None:
    web = stage(0)
    (one,) = web.revisions
    owner = stateful_set(web.owner)
    decision = decide(owner, [], [], web.now, taken={one.key})
    assert [action.patch for action in decision.actions] == [{"status": {"collisionCount": 1}}]  # type: ignore[union-attr]


def test_a_pod_is_available_only_when_it_has_been_ready_for_long_enough() -> None:
    web = stage(2, minReadySeconds=10)
    assert web.ready("web-0", seconds=4) == []
    assert (web.status["readyReplicas"], web.status["availableReplicas"]) == (1, 0)
    assert web.last.again == 6
    assert web.ready("web-0", seconds=10) == ["+web-1"]


CLAIM = {"metadata": {"name": "www", "labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def test_each_pod_claims_a_volume_by_its_name_and_finds_it_again() -> None:
    spec: dict[str, Any] = {"volumes": [{"name": "www", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}
    web = running(2, volumeClaimTemplates=[CLAIM], template=template(**spec))
    assert set(web.claims) == {"default/www-web-0", "default/www-web-1"}
    assert web.claims["default/www-web-0"]["metadata"]["labels"] == {"a": "b", "app": "web"}
    assert web.pod("web-1")["spec"]["volumes"] == [
        {"name": "www", "persistentVolumeClaim": {"claimName": "www-web-1"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    web.change(replicas=1)
    web.run()
    web.change(replicas=2)
    assert set(web.claims) == {"default/www-web-0", "default/www-web-1"}


def test_a_pod_with_its_name_is_adopted_and_marked_and_one_without_is_not() -> None:
    web = running(1)
    for name in ("web-1", "other-0", "web-01"):
        meta = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}}
        web.put({"metadata": meta, "spec": template()["spec"]})
    assert web.change(replicas=2) == []
    web.ready("web-1")
    assert web.pod("web-1")["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "web-1"
    owned = [pod.meta.name for pod in web.pods if pod.meta.owner is not None]
    assert sorted(owned) == ["web-0", "web-1"]


def test_a_set_that_is_being_deleted_makes_and_gives_up_nothing() -> None:
    web = running(2)
    web.owner["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert web.change(replicas=4, template=template("v2")) == []
    assert len(web.revisions) == 1


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 5),
        "template": st.sampled_from("abc").map(template),
        "ordinals": st.integers(0, 3).map(lambda start: {"start": start}),
        "updateStrategy": st.integers(0, 3).map(lambda partition: updating(partition)["updateStrategy"]),
    },
)


@settings(max_examples=50)
@given(st.sampled_from([{}, PARALLEL]), st.lists(st.tuples(CHANGES, st.integers(0, 9), st.booleans())))
def test_whatever_happens_all_pods_are_there_in_the_end_and_all_as_they_should_be(
    policy: dict[str, str], happens: list[tuple[dict[str, Any], int, bool]]
) -> None:
    web = stage(3, **policy)
    for change, number, ends in happens:
        web.change(**change)
        name = next((pod.meta.name for pod in web.pods[number:] if pod.active), "")
        if name:
            web.ended(name) if ends else web.ready(name)
    web.change(**updating(0))
    for pod in web.pods:
        if pod.finished and not pod.meta.terminating:
            web.deleted(pod.meta.name)  # of those too many, two that have ended wait for each other, as elsewhere
    web.run()
    spec = web.owner["spec"]
    start = (spec.get("ordinals") or {}).get("start", 0)
    assert web.names() == sorted(f"web-{start + number}" for number in range(spec["replicas"]))
    assert set(web.images().values()) <= {spec["template"]["spec"]["containers"][0]["image"]}
    assert web.status["currentRevision"] == web.status["updateRevision"]
    counts = ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas")
    assert {web.status[count] for count in counts} == {spec["replicas"]}
    assert web.status["observedGeneration"] == web.owner["metadata"]["generation"]
