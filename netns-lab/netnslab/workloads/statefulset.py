"""Pods that have a name and an order: what a StatefulSet has to do next. Pure.

With the policy OrderedReady, the default, nothing is begun while a pod with a lower number is not available; with
Parallel pods come and go all together. An update goes from the highest number down, with both policies.
Semantics: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from kapi.resources import PODS, STATEFUL_SETS
from netnslab.workloads import ordinals
from netnslab.workloads.actions import Action, Decision, Delete, Patch
from netnslab.workloads.availability import is_available, next_available
from netnslab.workloads.claim import claim
from netnslab.workloads.revisions import LABEL, History, Revision, history, surplus
from netnslab.workloads.rolling import share
from netnslab.workloads.sets import StatefulSet
from netnslab.workloads.values import Pod

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Present:
    """A StatefulSet as it is: its pods by their number, the revision it comes from and the one it goes to."""

    owner: StatefulSet
    pods: Mapping[int, Pod]
    current: Revision
    update: Revision
    now: datetime
    claims: Container[str]

    def available(self, pod: Pod | None) -> bool:
        """Whether there is a pod that runs, has done so for long enough, and is not about to go."""
        return pod is not None and pod.active and is_available(pod, self.owner.min_ready_seconds, self.now)

    def is_old(self, pod: Pod) -> bool:
        """Whether a pod is of an earlier revision, and is not about to go already."""
        return not pod.meta.terminating and pod.meta.labels.get(LABEL) != self.update.meta.name

    def revision(self, number: int) -> Revision:
        """The revision that a new pod gets: below the partition of an update the earlier one."""
        before = self.owner.strategy == "RollingUpdate" and number < self.owner.start + self.owner.partition
        return self.current if before else self.update


def decide(
    owner: StatefulSet,
    candidates: Iterable[Pod],
    revisions: Iterable[Revision],
    now: datetime,
    *,
    taken: Container[str] = (),
    claims: Container[str] = (),
) -> Decision:
    """Take the next step. `candidates` are its pods, and those near it that nobody owns.

    `revisions` likewise; `taken` and `claims` hold the keys of all ControllerRevisions and all claims there are.
    """
    named = (pod for pod in candidates if ordinals.number_of(owner.meta.name, pod.meta.name) is not None)
    claimed = claim(owner.reference, owner.selector, named, PODS, adopt=not owner.meta.terminating)
    past = history(owner, revisions, taken)
    if past.update is None:
        return Decision((*claimed.patches, *past.actions))
    pods = {ordinals.number_of(owner.meta.name, pod.meta.name) or 0: pod for pod in claimed.owned}
    current = past.named(owner.status.get("currentRevision") or "") or past.update
    present = _Present(owner, dict(sorted(pods.items())), current, past.update, now, claims)
    actions = [*claimed.patches, *past.actions]
    status = _status(present)
    if {name: owner.status.get(name) for name in status} != status:
        actions.append(Patch(STATEFUL_SETS, owner.key, {"status": status}, "status"))
    if not owner.meta.terminating:  # last, as the server may refuse a pod
        actions += [*_forgotten(present, past), *_steps(present)]
    return Decision(tuple(actions), next_available(pods.values(), owner.min_ready_seconds, now))


def _forgotten(present: _Present, past: History) -> list[Action]:
    used = {pod.meta.labels.get(LABEL, "") for pod in present.pods.values()}
    return surplus(present.owner, past, used | {present.current.meta.name})


def _steps(present: _Present) -> list[Action]:
    """First have all pods, then give up those too many, then renew the old ones: each when the one before is done."""
    actions, blocked = _filled(present)
    if not blocked:
        shrunk, blocked = _shrunk(present)
        actions += shrunk
    if not blocked and present.owner.strategy == "RollingUpdate":
        actions += _renewed(present)
    return actions


def _filled(present: _Present) -> tuple[list[Action], bool]:
    """Make the pods that are missing, and give up those that have ended. Gives whether all else has to wait."""
    owner, actions = present.owner, list[Action]()
    for number in owner.numbers:
        pod = present.pods.get(number)
        if pod is None:
            actions += _made(present, number)
        elif pod.finished and not pod.meta.terminating:
            actions.append(_deleted(owner, pod))
        if owner.ordered and not present.available(pod):
            return actions, True
        if pod is not None and not ordinals.labels(pod.meta.name, number).items() <= pod.meta.labels.items():
            labels = ordinals.labels(pod.meta.name, number)
            actions.append(Patch(PODS, pod.key, {"metadata": {"uid": pod.uid, "labels": labels}}))
    return actions, False


def _made(present: _Present, number: int) -> Iterator[Action]:
    """A pod, after the claims of its own that are not there from an earlier pod of its name."""
    owner, revision = present.owner, present.revision(number)
    yield from ordinals.claims(owner, number, present.claims)
    yield ordinals.pod(owner, number, revision)


def _shrunk(present: _Present) -> tuple[list[Action], bool]:
    """Give up the pods beyond the number, highest first; of those that are not available the lowest is no obstacle."""
    owner, actions = present.owner, list[Action]()
    doomed = [(number, pod) for number, pod in present.pods.items() if number not in owner.numbers]
    sick = next((number for number, pod in doomed if not present.available(pod)), None)
    for number, pod in reversed(doomed):
        may_go = not owner.ordered or present.available(pod) or number == sick
        if may_go and not pod.meta.terminating:
            actions.append(_deleted(owner, pod))
        if owner.ordered:
            return actions, True
    return actions, False


def _renewed(present: _Present) -> list[Action]:
    """Give up pods of earlier revisions, highest first, with as many at a time missing as the strategy allows.

    Where it says how many, all that are not available count as missing. Where it does not, a pod waits for those with
    higher numbers only: a lower one that does not work is renewed when its turn has come.
    """
    owner = present.owner
    targets = [present.pods.get(number) for number in reversed(owner.numbers[owner.partition :])]
    old = [pod for pod in targets if pod is not None and present.is_old(pod)]
    if owner.unavailable is None:
        left = int(all(present.available(pod) for pod in takewhile(lambda pod: pod not in old[:1], targets)))
    else:
        missing = sum(not present.available(present.pods.get(number)) for number in owner.numbers)
        left = max(1, share(owner.unavailable, owner.replicas, up=False)) - missing
    return [_deleted(owner, pod) for pod in old[: max(0, left)]]


def _deleted(owner: StatefulSet, pod: Pod) -> Delete:
    return Delete(PODS, pod.key, pod.uid, owner.reference)


def _status(present: _Present) -> Json:
    """Count; when all pods are of the update's revision, and ready, that is the current one."""
    owner, pods = present.owner, list(present.pods.values())
    ready = [pod for pod in pods if pod.ready and not pod.finished]
    alive = [pod.meta.labels.get(LABEL) for pod in pods if not pod.meta.terminating]
    current, update = present.current.meta.name, present.update.meta.name
    status: Json = {
        "observedGeneration": owner.meta.generation,
        "replicas": len(pods),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod, owner.min_ready_seconds, present.now) for pod in ready),
        "currentReplicas": alive.count(current),
        "updatedReplicas": alive.count(update),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": owner.collisions,
    }
    counts = (status["updatedReplicas"], status["readyReplicas"], status["replicas"])
    if owner.strategy == "RollingUpdate" and counts == (owner.replicas,) * 3:
        status |= {"currentRevision": update, "currentReplicas": status["updatedReplicas"]}
    return status
