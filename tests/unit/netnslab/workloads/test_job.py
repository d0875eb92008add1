"""How many pods a Job runs, how it counts them, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.netnslab.workloads.stage import NOW, Stage, template, workload

from kapi.resources import JOBS
from netnslab.workloads import jobpods
from netnslab.workloads.actions import Create, Delete, Patch
from netnslab.workloads.clock import stamp
from netnslab.workloads.job import decide
from netnslab.workloads.jobspec import INDEX, TRACKING, job, shown

Json = dict[str, Any]


class Work(Stage):
    """A Job, which has been acted on once."""

    def __init__(self, **spec: Any) -> None:
        given = {"parallelism": 1, "completions": 1, "backoffLimit": 6} | spec
        owner = workload(JOBS, **{"template": template(restartPolicy=spec.pop("restartPolicy", "Never")), **given})
        owner["spec"].pop("restartPolicy", None)
        super().__init__(JOBS, owner, lambda now: decide(job(now.owner), now.pods, now.now))
        self.settle()

    def active(self) -> list[str]:
        return [pod.meta.name for pod in self.pods if pod.active]

    def end(self, *names: str, phase: str = "Succeeded") -> list[str]:
        """Pods have come to their end just now."""
        made: list[str] = []
        for name in names:
            ended = {"state": {"terminated": {"finishedAt": stamp(self.now)}}}
            made += self.ended(name, phase, containerStatuses=[ended])
        return made

    def fail(self, *names: str) -> list[str]:
        return self.end(*names, phase="Failed")

    def later(self, seconds: float) -> list[str]:
        self.now += timedelta(seconds=seconds)
        return self.settle()

    def clear(self) -> None:
        """Every deletion comes to its end, of which the kubelet tells first."""
        while leaving := [pod.meta.name for pod in self.pods if pod.meta.terminating]:
            for name in leaving:
                self.pod(name)["metadata"]["deletionGracePeriodSeconds"] = 0
            self.settle()
            self.gone(*leaving)

    def counts(self) -> tuple[int, int, int]:
        """How many pods run, have succeeded, have failed."""
        active, succeeded, failed = (int(self.status.get(name) or 0) for name in ("active", "succeeded", "failed"))
        return active, succeeded, failed

    def conditions(self) -> list[tuple[str, str]]:
        return [(c["type"], c["reason"]) for c in self.status.get("conditions") or () if c["status"] == "True"]


COMPLETE = [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]


def failed(reason: str) -> list[tuple[str, str]]:
    return [("FailureTarget", reason), ("Failed", reason)]


def test_a_job_is_complete_when_its_pod_has_succeeded() -> None:
    work = Work()
    assert work.status["startTime"] == stamp(NOW)
    assert work.counts() == (1, 0, 0)
    (name,) = work.active()
    assert TRACKING in work.pod(name)["metadata"]["finalizers"]
    work.ready(name)
    assert work.status["ready"] == 1
    work.now += timedelta(seconds=3)
    work.end(name)
    assert work.conditions() == COMPLETE
    assert (work.status["startTime"], work.status["completionTime"]) == (stamp(NOW), stamp(work.now))
    rest = {"succeeded": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
    assert {
        part: work.status[part] for part in work.status if part not in ("conditions", "startTime", "completionTime")
    } == rest
    assert not work.pod(name)["metadata"].get("finalizers")
    assert work.events == ["Completed: Job completed"]


@pytest.mark.parametrize(
    ("parallelism", "completions", "running"), [(2, 5, [2, 2, 2, 2, 1, 0]), (9, 3, [3, 2, 1, 0]), (1, 2, [1, 1, 0])]
)
def test_not_more_pods_run_than_may_at_a_time_nor_than_are_needed(
    parallelism: int, completions: int, running: list[int]
) -> None:
    work = Work(parallelism=parallelism, completions=completions)
    for number, expected in enumerate(running):
        assert work.counts() == (expected, number, 0)
        if expected:
            assert work.conditions() == []
            work.end(work.active()[0])
    assert work.conditions() == COMPLETE


def test_without_a_number_of_completions_the_first_success_starts_nobody_and_stops_nobody() -> None:
    work = Work(parallelism=3, completions=None)
    first, second, third = work.active()
    assert work.end(first) == []
    assert work.counts() == (2, 1, 0)
    assert work.fail(second) == []
    assert work.conditions() == []
    work.end(third)
    assert work.counts() == (0, 2, 1)
    assert work.conditions() == COMPLETE


def test_a_pod_that_fails_is_replaced_each_time_after_twice_the_pause() -> None:
    work = Work()
    for pause in (10, 20, 40):
        assert work.fail(*work.active()) == []
        assert work.last.again == pause
        assert work.later(pause - 1) == []
        assert len(work.later(1)) == 1
    assert work.counts() == (1, 0, 3)
    work.end(*work.active())
    assert work.conditions() == COMPLETE


def test_a_success_ends_the_pauses() -> None:
    work = Work(parallelism=2, completions=4)
    first, second = work.active()
    work.fail(first)
    work.now += timedelta(seconds=1)
    assert len(work.end(second)) == 2


@pytest.mark.parametrize("limit", [0, 2])
def test_a_job_has_failed_when_more_pods_have_than_its_limit_and_the_others_are_given_up(limit: int) -> None:
    work = Work(parallelism=2, completions=2, backoffLimit=limit)
    other = work.active()[1]
    for _ in range(limit + 1):
        name = next(name for name in work.active() if name != other)
        work.fail(name)
        work.later(700)
    assert work.journal[-1] == f"-{other}"
    assert [kind for kind, _ in work.conditions()] == ["FailureTarget"]
    work.clear()
    assert work.conditions() == failed("BackoffLimitExceeded")
    assert work.counts() == (0, 0, limit + 2)
    assert "completionTime" not in work.status
    assert work.events == ["BackoffLimitExceeded: Job has reached the specified backoff limit"]


@pytest.mark.parametrize(("limit", "restarts"), [(0, 1), (2, 2)])
def test_containers_that_are_restarted_in_their_pod_count_too(limit: int, restarts: int) -> None:
    work = Work(backoffLimit=limit, restartPolicy="OnFailure")
    (name,) = work.active()
    work.pod(name)["status"] = {"phase": "Running", "containerStatuses": [{"restartCount": restarts - 1}]}
    assert work.settle() == []
    work.pod(name)["status"] = {"phase": "Running", "containerStatuses": [{"restartCount": restarts}]}
    assert work.settle() == [f"-{name}"]
    work.clear()
    assert work.conditions() == failed("BackoffLimitExceeded")


def test_a_job_that_takes_too_long_has_failed() -> None:
    work = Work(activeDeadlineSeconds=30, parallelism=2, completions=2)
    first, second = work.active()
    work.end(first)
    assert work.last.again == 30
    assert work.later(29) == []
    assert work.later(1) == [f"-{second}"]
    work.clear()
    assert work.conditions() == failed("DeadlineExceeded")
    assert work.counts() == (0, 1, 1)


def test_a_pod_that_somebody_deletes_has_failed_and_is_counted_though_it_goes() -> None:
    work = Work()
    (name,) = work.active()
    assert len(work.deleted(name)) == 1
    assert not work.pod(name)["metadata"].get("finalizers")
    work.gone(name)
    assert work.counts() == (1, 0, 1)


def test_a_pod_may_be_replaced_only_when_it_has_ended() -> None:
    work = Work(podReplacementPolicy="Failed")
    (name,) = work.active()
    assert work.deleted(name) == []
    assert work.status["terminating"] == 1
    work.pod(name)["metadata"]["deletionGracePeriodSeconds"] = 0
    work.settle()
    assert len(work.gone(name)) == 1
    assert work.counts() == (1, 0, 1)


def test_fewer_at_a_time_give_up_no_more_than_those_though_others_are_still_ending() -> None:
    work = Work(podReplacementPolicy="Failed", parallelism=4, completions=9)
    work.deleted(work.active()[0])
    assert len(work.change(parallelism=2)) == 1
    assert len(work.active()) == 2
    assert work.change(parallelism=3) == []
    work.clear()
    assert len(work.active()) == 3


def test_a_success_counts_once_whenever_its_pod_goes() -> None:
    work = Work(completions=3)
    for number in range(3):
        (name,) = work.active()
        work.end(name)
        work.gone(name)
        assert work.status["succeeded"] == number + 1
    assert work.conditions() == COMPLETE


def test_a_pod_is_noted_before_its_finalizer_is_off_and_counted_after() -> None:
    work = Work(completions=2)
    (name,) = work.active()
    uid = work.pod(name)["metadata"]["uid"]
    work.pod(name)["status"] = {"phase": "Succeeded"}
    noted, made = decide(job(work.owner), work.pods, work.now).actions
    assert isinstance(noted, Patch)
    assert noted.subresource == "status"
    assert noted.patch["status"]["uncountedTerminatedPods"]["succeeded"] == [uid]
    assert noted.patch["status"]["succeeded"] is None
    assert isinstance(made, Create)


def test_fewer_at_a_time_give_up_some_and_none_of_them_has_failed() -> None:
    work = Work(parallelism=3, completions=9)
    ready = work.active()[0]
    work.ready(ready)
    given_up = work.change(parallelism=1)
    assert sorted(given_up) == sorted(f"-{name}" for name in work.names() if name != ready)
    work.clear()
    assert work.counts() == (1, 0, 0)


def test_a_suspended_job_runs_nothing_and_begins_anew_when_it_is_resumed() -> None:
    work = Work(suspend=True)
    assert work.active() == []
    assert "startTime" not in work.status
    assert work.conditions() == [("Suspended", "JobSuspended")]
    work.now += timedelta(seconds=60)
    assert len(work.change(suspend=False)) == 1
    assert work.status["startTime"] == stamp(work.now)
    assert work.conditions() == []
    assert len(work.change(suspend=True)) == 1
    assert "startTime" not in work.status
    work.clear()
    assert work.counts() == (0, 0, 0)
    assert work.events == ["Suspended: Job suspended", "Resumed: Job resumed", "Suspended: Job suspended"]


def test_each_index_is_done_once() -> None:
    work = Work(completionMode="Indexed", parallelism=2, completions=3)
    first, second = work.active()
    pod = work.pod(second)
    assert pod["metadata"]["name"].startswith("web-1-")
    assert pod["spec"]["hostname"] == "web-1"
    assert pod["metadata"]["annotations"][INDEX] == pod["metadata"]["labels"][INDEX] == "1"
    told = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}}
    assert pod["spec"]["containers"][0]["env"] == [told]
    work.fail(first)
    assert work.later(10)[0].startswith("+web-0-")
    assert work.end(second)[0].startswith("+web-2-")
    assert work.status["completedIndexes"] == "1"
    work.end(*work.active())
    assert work.status["completedIndexes"] == "0-2"
    assert work.conditions() == COMPLETE
    assert work.counts() == (0, 3, 1)


def test_fewer_completions_give_up_the_indexes_that_are_not_asked_for_any_more() -> None:
    work = Work(completionMode="Indexed", parallelism=4, completions=4)
    first, second, third, fourth = work.active()
    work.ready(third, fourth)  # else these would be given up last
    assert sorted(work.change(completions=2)) == sorted([f"-{third}", f"-{fourth}"])
    work.clear()
    work.end(first, second)
    assert work.conditions() == COMPLETE
    assert work.counts() == (0, 2, 0)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_the_end_of_an_index_that_is_not_asked_for_counts_for_nothing_and_holds_up_nobody(phase: str) -> None:
    work = Work(completionMode="Indexed", parallelism=3, completions=3)
    first, second, third = work.active()
    work.pod(third)["status"] = {"phase": phase}
    work.change(completions=2)
    assert not work.pod(third)["metadata"].get("finalizers")
    work.end(first, second)
    assert work.conditions() == COMPLETE
    assert work.counts() == (0, 2, 0)


def test_of_two_pods_with_one_index_the_better_one_stays() -> None:
    work = Work(completionMode="Indexed", parallelism=2, completions=2)
    first, second = work.active()
    twin = deepcopy(work.pod(first))
    twin["metadata"] |= {"name": "twin", "uid": "twin"}
    twin["status"] = {"phase": "Running"}
    work.put(twin)
    assert work.settle() == [f"-{first}"]
    assert sorted(work.active()) == sorted(["twin", second])


def test_what_others_hold_a_pod_up_for_stays_when_it_is_counted() -> None:
    work = Work()
    (name,) = work.active()
    work.pod(name)["metadata"]["finalizers"].append("example.com/mine")
    seen = work.pods
    work.pod(name)["metadata"]["finalizers"].append("example.com/added-since")
    work.act(jobpods.untracked(seen))
    assert work.pod(name)["metadata"]["finalizers"] == ["example.com/mine", "example.com/added-since"]


@pytest.mark.parametrize(
    ("status", "deletion"),
    [
        ({"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": stamp(NOW)}]}, {}),
        ({}, {"deletionTimestamp": stamp(NOW + timedelta(seconds=30)), "deletionGracePeriodSeconds": 30}),
        ({}, {"creationTimestamp": stamp(NOW)}),
    ],
    ids=["not ready since", "deleted", "created"],
)
def test_a_pod_that_failed_without_having_run_is_replaced_after_the_pause_too(status: Json, deletion: Json) -> None:
    work = Work()
    (name,) = work.active()
    work.pod(name)["metadata"] |= deletion
    work.pod(name)["status"] = {"phase": "Failed", **status}
    assert work.settle() == []
    assert work.later(9) == []
    assert len(work.later(1)) == 1


@pytest.mark.parametrize(("indexes", "text"), [([], ""), ([4], "4"), ([0, 2, 3, 4, 9, 10], "0,2-4,9,10")])
def test_indexes_are_written_as_runs(indexes: list[int], text: str) -> None:
    assert shown(indexes) == text
    assert job({**workload(JOBS, completions=11), "status": {"completedIndexes": text}}).completed == set(indexes)


def test_a_variable_of_the_authors_own_with_the_name_of_the_index_stays() -> None:
    mine = {"name": "JOB_COMPLETION_INDEX", "value": "7"}
    containers = [{"name": "c", "image": "i", "env": [mine]}]
    work = Work(completionMode="Indexed", template=template(restartPolicy="Never", containers=containers))
    assert work.pod(work.active()[0])["spec"]["containers"][0]["env"] == [mine]


def test_a_job_goes_so_many_seconds_after_it_is_over() -> None:
    work = Work(ttlSecondsAfterFinished=30)
    work.end(*work.active())
    assert work.last.again == 30
    work.now += timedelta(seconds=30)
    assert decide(job(work.owner), work.pods, work.now).actions == (
        Delete(JOBS, "default/web", "web", job(work.owner).reference),
    )


def test_a_pod_that_is_no_longer_selected_is_released_and_replaced() -> None:
    work = Work()
    (name,) = work.active()
    work.pod(name)["metadata"]["labels"] = {"app": "debug"}
    (made,) = work.settle()
    assert not work.pod(name)["metadata"].get("ownerReferences")
    work.end(made[1:])
    assert work.counts() == (0, 1, 0)


def test_a_job_of_another_controller_is_left_alone() -> None:
    assert Work(managedBy="example.com/queue").journal == []


def test_what_nobody_heeds_is_told_of_once() -> None:
    work = Work(podFailurePolicy={"rules": []})
    work.ready(*work.active())
    assert work.events == ["NotActedOn: this lab keeps spec.podFailurePolicy and does not act on it"]


def test_a_job_that_is_being_deleted_makes_nothing_and_still_counts() -> None:
    work = Work(completions=2)
    work.owner["metadata"]["deletionTimestamp"] = stamp(NOW)
    assert work.end(*work.active()) == []
    assert work.counts() == (0, 1, 0)


HAPPENS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(("end", "fail", "delete", "gone", "parallelism"))), max_size=20
)


@settings(max_examples=50)
@given(
    HAPPENS,
    st.fixed_dictionaries(
        {
            "parallelism": st.integers(1, 4),
            "completions": st.integers(1, 5),
            "backoffLimit": st.integers(0, 3),
            "completionMode": st.sampled_from(("Indexed", "NonIndexed")),
            "podReplacementPolicy": st.sampled_from(("TerminatingOrFailed", "Failed")),
        }
    ),
)
def test_whatever_happens_every_pod_is_counted_once_and_the_job_comes_to_its_end(
    happens: list[tuple[int, str]], spec: Json
) -> None:
    work, parallelism = Work(**spec), spec["parallelism"]
    won = lost = spared = 0
    for number, what in happens:
        name = next(iter(work.active()[number:]), "")
        if what == "gone":
            done = [pod.meta.name for pod in work.pods if not pod.active and not pod.finalizers]
            work.gone(*done)
        elif what == "parallelism" and not work.conditions():
            parallelism, before = number, len(work.active())
            given_up = [entry for entry in work.change(parallelism=number) if entry[0] == "-"]
            assert len(given_up) == max(0, before - number)
            spared += len(given_up)
        elif name and not work.conditions():
            won, lost = won + (what == "end"), lost + (what != "end")
            happen: dict[str, Callable[[str], Any]] = {"end": work.end, "fail": work.fail, "delete": work.deleted}
            happen[what](name)
        assert len(work.active()) <= parallelism
        work.later(700)
    work.change(parallelism=parallelism or 1)
    while not work.conditions():
        work.clear()
        work.later(700)
        won += len(work.active())
        work.end(*work.active())
        work.later(700)
    work.clear()
    cut_short = len([entry for entry in work.journal if entry[0] == "-"]) - spared
    assert work.counts() == (0, won, lost + cut_short)
    assert [kind for kind, _ in work.conditions()] in (["SuccessCriteriaMet", "Complete"], ["FailureTarget", "Failed"])
    assert (won >= spec["completions"]) == (work.conditions() == COMPLETE)
    assert (lost > spec["backoffLimit"]) == (work.conditions() == failed("BackoffLimitExceeded"))
