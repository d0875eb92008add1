"""Which pods of a Job have ended and how, and which of them its status has counted. Pure.

A pod can be deleted at any time after its end, and still has to be counted once. So it has a finalizer until then, and
goes through three steps: its uid is noted in the status (or the index that it has done); its finalizer is taken off;
its uid becomes part of a number.
https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from netnslab.workloads.jobspec import TRACKING, Job, index_of, shown
from netnslab.workloads.values import Pod

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tally:
    """The pods of a Job, sorted out. `succeeded` and `failed` are how many have, those that are only noted included."""

    active: tuple[Pod, ...]
    terminating: int
    succeeded: int
    failed: int
    indexes: frozenset[int]  # that are done
    noted: tuple[Pod, ...]  # whose finalizer can be taken off
    status: Json  # the numbers, as the next status has them
    settled: bool  # every pod is part of a number, or still runs


def tally(job: Job, pods: Iterable[Pod], *, failed: bool = False) -> Tally:
    """Count. With `failed`, as the Job itself has, every pod that has not succeeded has failed."""
    pods = tuple(pods)
    tracked = {pod.uid: pod for pod in pods if TRACKING in pod.finalizers}
    over = [pod for pod in tracked.values() if pod.phase == "Succeeded" or _has_failed(job, pod, failed=failed)]
    idle = {pod.uid for pod in over if not job.asks_for(pod)}  # how they end is nothing to the Job
    won = [pod for pod in over if pod.phase == "Succeeded" and pod.uid not in idle]
    lost = [pod.uid for pod in over if pod.phase != "Succeeded" and pod.uid not in idle]
    indexes = _indexes(job, won)
    succeeded, new_won = _noted(job, "succeeded", [] if job.indexed else [pod.uid for pod in won], tracked.keys())
    failures, new_lost = _noted(job, "failed", lost, tracked.keys())
    active = tuple(pod for pod in pods if pod.active)
    terminating = sum(pod.meta.terminating and not pod.finished for pod in pods)
    status: Json = {
        "active": len(active) or None,
        "ready": sum(pod.ready for pod in active),
        "terminating": terminating,
        "succeeded": (len(indexes) if job.indexed else succeeded) or None,
        "failed": failures or None,
        "uncountedTerminatedPods": {"succeeded": new_won or None, "failed": new_lost or None},
    }
    if job.indexed:
        status["completedIndexes"] = shown(indexes) or None
    known = {*job.uncounted("succeeded"), *job.uncounted("failed")}
    done = {pod.uid for pod in won if index_of(pod) in job.completed} if job.indexed else set()
    return Tally(
        active=active,
        terminating=terminating,
        succeeded=len(indexes) if job.indexed else succeeded + len(new_won),
        failed=failures + len(new_lost),
        indexes=indexes,
        noted=tuple(pod for uid, pod in tracked.items() if uid in known | done | idle),
        status=status,
        settled=not new_won and not new_lost and not won and not idle,
    )


def _noted(job: Job, name: str, ended: Sequence[str], tracked: Container[str]) -> tuple[int, list[str]]:
    """Give the number in the status, with those whose finalizer is off, and the uids that are to be noted beside it."""
    before = job.uncounted(name)
    waiting = [uid for uid in before if uid in tracked]
    number = job.count(name) + len(before) - len(waiting)
    return number, [*waiting, *(uid for uid in ended if uid not in waiting and not _is_noted(job, uid))]


def _is_noted(job: Job, uid: str) -> bool:
    """Whether a pod was seen to end before: what it counted as then, it counts as for ever."""
    return uid in job.uncounted("succeeded") or uid in job.uncounted("failed")


def _indexes(job: Job, won: Iterable[Pod]) -> frozenset[int]:
    """The indexes that are done; those beyond the number of completions do not count."""
    found = {index for pod in won if (index := index_of(pod)) is not None}
    return (
        frozenset(index for index in job.completed | found if index < (job.completions or 0))
        if job.indexed
        else frozenset()
    )


def _has_failed(job: Job, pod: Pod, *, failed: bool) -> bool:
    """Whether a pod will never succeed: one that somebody deletes will not, but the Job may wait until it has ended."""
    if pod.finished or failed:
        return pod.phase != "Succeeded"
    return pod.meta.terminating and (pod.grace == 0 or not job.replaces_when_gone)
