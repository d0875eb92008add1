"""Pods that come to an end: what a Job has to do next. Pure.

Semantics: https://kubernetes.io/docs/concepts/workloads/controllers/job/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi.patch.merge import merge
from kapi.resources import JOBS, PODS
from netnslab.workloads import jobpods
from netnslab.workloads.actions import Action, Decision, Delete, Patch, Tell
from netnslab.workloads.claim import claim
from netnslab.workloads.clock import seconds_since, stamp
from netnslab.workloads.jobspec import CONTROLLER, TRACKING, Job
from netnslab.workloads.tally import Tally, tally
from netnslab.workloads.values import Pod

Json = dict[str, Any]

_SUCCESS = ("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
_TOO_MANY_FAILURES = ("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
_TOO_LATE = ("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
_FINAL = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}  # written when nothing of the work is left
FIRST_BACKOFF = 10.0  # seconds until a pod that failed is replaced


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a Job is over: the type of the condition, a reason, a message."""

    kind: str
    reason: str
    message: str

    @property
    def failed(self) -> bool:
        """Whether the work was not done."""
        return self.kind == "FailureTarget"


def decide(job: Job, candidates: Iterable[Pod], now: datetime, backoff: float = FIRST_BACKOFF) -> Decision:
    """Take the next step. `candidates` are its pods; `backoff` is the pause after a first failure, in seconds."""
    if job.managed_by != CONTROLLER or not job.selector:
        return Decision()
    claimed = claim(job.reference, job.selector, candidates, PODS, adopt=False)
    pods = claimed.owned
    if job.condition("Complete", "Failed") is not None:
        return _after(job, pods, now)
    counted = tally(job, pods)
    verdict = _verdict(job, pods, counted, now)
    if verdict is not None and verdict.failed:
        counted = tally(job, pods, failed=True)
    work = Decision()
    if verdict is not None:
        work = Decision(tuple(jobpods.deleted(job, counted.active)))
    elif not job.meta.terminating:
        work = jobpods.steps(job, pods, counted, now, backoff)
    status = _status(job, counted, verdict, now)
    actions: list[Action] = [*claimed.patches, *jobpods.untracked(counted.noted)]
    if merge(job.status, status) != job.status:
        actions += [Patch(JOBS, job.key, {"status": status}, "status"), *_told(job, status)]
    actions += work.actions  # last, as the server may refuse them
    return Decision(tuple(actions), _sooner(work.again, _left(job, now)))


def _after(job: Job, pods: Iterable[Pod], now: datetime) -> Decision:
    """A Job that is over: what came too late to be counted is let go, and it goes itself where it is to."""
    late = tuple(jobpods.untracked(pod for pod in pods if TRACKING in pod.finalizers))
    if job.ttl is None or job.meta.terminating:
        return Decision(late)
    final = job.condition("Complete", "Failed") or {}
    left = job.ttl - seconds_since(final.get("lastTransitionTime") or stamp(now), now)
    if left > 0:
        return Decision(late, left)
    return Decision((*late, Delete(JOBS, job.key, job.uid, job.reference)))


def _verdict(job: Job, pods: Sequence[Pod], counted: Tally, now: datetime) -> Verdict | None:
    """Say why the Job is over, if it is; what was once said stays."""
    said = job.condition(*_FINAL)
    if said is not None:
        return Verdict(said["type"], said.get("reason") or "", said.get("message") or "")
    if counted.failed > job.backoff_limit or _restarted_too_often(job, pods):
        return Verdict(*_TOO_MANY_FAILURES)
    if job.deadline is not None and job.started and _left(job, now) is None and not job.suspended:
        return Verdict(*_TOO_LATE)
    enough = 1 if job.completions is None else job.completions
    return Verdict(*_SUCCESS) if counted.succeeded >= enough and not counted.active else None


def _restarted_too_often(job: Job, pods: Iterable[Pod]) -> bool:
    restarts = sum(pod.all_restarts for pod in pods if not pod.finished)
    return job.restarts_in_place and restarts > 0 and restarts >= job.backoff_limit


def _left(job: Job, now: datetime) -> float | None:
    """The seconds until the deadline; None where there is none, or it is over."""
    if job.deadline is None or not job.started or job.suspended:
        return None
    left = job.deadline - seconds_since(job.started, now)
    return left if left > 0 else None


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _status(job: Job, counted: Tally, verdict: Verdict | None, now: datetime) -> Json:
    conditions = list(job.status.get("conditions") or ())
    status: Json = dict(counted.status)
    if not job.started and not job.suspended:
        status["startTime"] = stamp(now)
    if verdict is not None:
        if job.condition(verdict.kind) is None:
            conditions.append(_condition(verdict.kind, "True", verdict.reason, verdict.message, now))
        if counted.settled and not counted.active and not counted.terminating:
            conditions.append(_condition(_FINAL[verdict.kind], "True", verdict.reason, verdict.message, now))
            status |= {} if verdict.failed else {"completionTime": stamp(now)}
    elif job.suspended != (job.condition("Suspended") is not None):
        conditions = [*(c for c in conditions if c["type"] != "Suspended"), _suspension(job, now)]
        status["startTime"] = None if job.suspended else stamp(now)
    return status | ({"conditions": conditions} if conditions else {})


def _suspension(job: Job, now: datetime) -> Json:
    if job.suspended:
        return _condition("Suspended", "True", "JobSuspended", "Job suspended", now)
    return _condition("Suspended", "False", "JobResumed", "Job resumed", now)


def _condition(kind: str, truth: str, reason: str, message: str, now: datetime) -> Json:
    moments = {"lastProbeTime": stamp(now), "lastTransitionTime": stamp(now)}
    return {"type": kind, "status": truth, "reason": reason, "message": message, **moments}


def _told(job: Job, status: Json) -> Iterator[Action]:
    """Tell that it is over, suspended or resumed; and at its start, which of its fields nobody heeds."""
    before = job.status.get("conditions") or ()
    for condition in status.get("conditions") or ():
        if condition in before:
            continue
        match condition["type"]:
            case "Complete":
                yield Tell(job.reference, "Normal", "Completed", "Job completed")
            case "Failed":
                yield Tell(job.reference, "Warning", condition["reason"], condition["message"])
            case "Suspended":
                reason = condition["reason"].removeprefix("Job")
                yield Tell(job.reference, "Normal", reason, condition["message"])
    if not job.started and status.get("startTime"):
        for name in job.not_acted_on:
            message = f"this lab keeps spec.{name} and does not act on it"
            yield Tell(job.reference, "Warning", "NotActedOn", message)
