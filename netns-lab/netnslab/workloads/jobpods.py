"""How many pods of a Job run, and what they are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from kapi.resources import PODS
from netnslab.workloads.actions import Action, Create, Decision, Delete, Patch
from netnslab.workloads.clock import seconds_since
from netnslab.workloads.jobspec import INDEX, TRACKING, Job, index_of
from netnslab.workloads.replicas import surplus
from netnslab.workloads.tally import Tally
from netnslab.workloads.template import pod_of
from netnslab.workloads.values import Pod

Json = dict[str, Any]

_BURST = 500  # most pods made in one go
_LONGEST_BACKOFF = 600.0  # seconds


def steps(job: Job, pods: Sequence[Pod], counted: Tally, now: datetime, backoff: float) -> Decision:
    """Have as many pods as should run: give some up, or make some, later where one has just failed."""
    missing = _wanted(job, counted) - len(counted.active)
    doomed = _doomed(job, counted.active, -missing)
    if doomed:
        return Decision((*untracked(doomed), *deleted(job, doomed)))
    missing -= counted.terminating if job.replaces_when_gone else 0
    if missing <= 0:
        return Decision()
    wait = _remaining(pods, now, backoff)
    if wait > 0:
        return Decision(again=wait)
    return Decision(tuple(_made(job, pods, counted, min(missing, _BURST))))


def untracked(pods: Iterable[Pod]) -> Iterator[Action]:
    """Take the finalizer off pods: they are counted, or are not to be."""
    for pod in pods:
        meta = {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}  # those of others stay
        yield Patch(PODS, pod.key, {"metadata": meta}, kind="strategic")


def deleted(job: Job, pods: Iterable[Pod]) -> list[Action]:
    """Give pods up."""
    return [Delete(PODS, pod.key, pod.uid, job.reference) for pod in pods]


def _wanted(job: Job, counted: Tally) -> int:
    if job.suspended:
        return 0
    if job.completions is None:  # the first success ends the work: nobody is started any more, and nobody stopped
        return len(counted.active) if counted.succeeded else job.parallelism
    return max(0, min(job.completions - counted.succeeded, job.parallelism))


def _doomed(job: Job, active: Sequence[Pod], least: int) -> list[Pod]:
    """Choose at least so many to give up, and of a Job with indexes all whose work is not asked for, or another's."""
    useless = list(_useless(job, active)) if job.indexed else []
    uids = {pod.uid for pod in useless}
    return [*useless, *surplus([pod for pod in active if pod.uid not in uids], max(0, least - len(useless)))]


def _useless(job: Job, active: Iterable[Pod]) -> Iterator[Pod]:
    by_index: dict[int, list[Pod]] = {}
    for pod in active:
        index = index_of(pod)
        if index is None or not job.asks_for(pod):
            yield pod
        else:
            by_index.setdefault(index, []).append(pod)
    for same in by_index.values():
        yield from surplus(same, len(same) - 1)


def _remaining(pods: Iterable[Pod], now: datetime, backoff: float) -> float:
    """In how many seconds the next pod may be made: each failure since the last success doubles the pause."""
    ended = sorted((pod.ended, pod.phase == "Succeeded") for pod in pods if pod.finished)
    failures = 0
    while failures < len(ended) and not ended[-1 - failures][1]:
        failures += 1
    if not failures:
        return 0.0
    return min(backoff * 2.0 ** (failures - 1), _LONGEST_BACKOFF) - seconds_since(ended[-1][0], now)


def _made(job: Job, pods: Iterable[Pod], counted: Tally, count: int) -> Iterator[Action]:
    if not job.indexed:
        yield Create(PODS, _tracked(job), job.reference, count)
        return
    at_work = {index_of(pod) for pod in pods if pod.active or (job.replaces_when_gone and not pod.finished)}
    free = (index for index in range(job.completions or 0) if index not in counted.indexes and index not in at_work)
    for index, _ in zip(free, range(count), strict=False):
        yield Create(PODS, _indexed(job, index), job.reference)


def _tracked(job: Job) -> Json:
    obj = pod_of(job.template, job.reference)
    meta = obj["metadata"]
    return {**obj, "metadata": {**meta, "finalizers": [*meta.get("finalizers", ()), TRACKING]}}


def _indexed(job: Job, index: int) -> Json:
    """A pod that knows which part of the work is its own, by its host name, a variable, a label and an annotation."""
    obj = deepcopy(_tracked(job))
    meta, spec, name = obj["metadata"], obj["spec"], f"{job.meta.name}-{index}"
    meta["generateName"] = f"{name}-"
    for part in ("labels", "annotations"):
        meta[part] = {**meta.get(part, {}), INDEX: str(index)}
    spec.setdefault("hostname", name)
    told: Json = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}},
    }
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        given = container.get("env") or []
        if all(variable.get("name") != told["name"] for variable in given):
            container["env"] = [*given, told]
    return obj
