"""How many pods a Job runs, how it counts them, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.netnslab.workloads.stage import NOW, Stage, template, workload

from kapi.resources import JOBS
from netnslab.workloads.actions import Delete
from netnslab.workloads.clock import stamp
from netnslab.workloads.job import decide
from netnslab.workloads.jobspec import INDEX, TRACKING, job, shown

Json = dict[str, Any]


class Work(Stage):
    """A Job, which has been acted on once."""

    def __init__(self, **spec: Any) -> None:
        given = {"parallelism": 1, "completions": 1, "backoffLimit": 6} | spec
        owner = workload(JOBS, **{**given, "template": template(restartPolicy=spec.pop("restartPolicy", "Never"))})
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
        """Every deletion comes to its end."""
        while leaving := [pod.meta.name for pod in self.pods if pod.meta.terminating]:
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
    before = decide(job(work.owner), work.pods, work.now)
    assert [getattr(action, "subresource", "") for action in before.actions if not hasattr(action, "obj")] == ["status"]
    assert before.actions[-1].patch["status"]["uncountedTerminatedPods"]["succeeded"] == [uid]  # type: ignore[union-attr]
    assert before.actions[-1].patch["status"]["succeeded"] is None  # type: ignore[union-attr]


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


@pytest.mark.parametrize(("indexes", "text"), [([], ""), ([4], "4"), ([0, 2, 3, 4, 9, 10], "0,2-4,9,10")])
def test_indexes_are_written_as_runs(indexes: list[int], text: str) -> None:
    assert shown(indexes) == text
    assert job({**workload(JOBS, completions=11), "status": {"completedIndexes": text}}).completed == set(indexes)


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


HAPPENS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(("end", "fail", "delete", "gone"))), max_size=20)


@settings(max_examples=50)
@given(HAPPENS, st.integers(1, 4), st.integers(1, 5), st.integers(0, 3), st.sampled_from(("Indexed", "NonIndexed")))
def test_whatever_happens_every_pod_is_counted_once_and_the_job_comes_to_its_end(
    happens: list[tuple[int, str]], parallelism: int, completions: int, limit: int, mode: str
) -> None:
    work = Work(parallelism=parallelism, completions=completions, backoffLimit=limit, completionMode=mode)
    won = lost = 0
    for number, what in happens:
        name = next(iter(work.active()[number:]), "")
        if what == "gone":
            done = [pod.meta.name for pod in work.pods if not pod.active and not pod.finalizers]
            work.gone(*done)
        elif name and not work.conditions():
            won, lost = won + (what == "end"), lost + (what != "end")
            happen: dict[str, Callable[[str], Any]] = {"end": work.end, "fail": work.fail, "delete": work.deleted}
            happen[what](name)
        assert len(work.active()) <= parallelism
        work.later(700)
    while not work.conditions():
        won += len(work.active())
        work.end(*work.active())
        work.later(700)
    work.clear()
    cut_short = len([entry for entry in work.journal if entry[0] == "-"])
    assert work.counts() == (0, won, lost + cut_short)
    assert [kind for kind, _ in work.conditions()] in (["SuccessCriteriaMet", "Complete"], ["FailureTarget", "Failed"])
    assert (won >= completions) == (work.conditions() == COMPLETE)
    assert (lost > limit) == (work.conditions() == failed("BackoffLimitExceeded"))
