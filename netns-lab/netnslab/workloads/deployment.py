"""From a Deployment and its ReplicaSets to what must be written next. Pure.

Each decision is one step towards the rollout's end; the next one is taken when a ReplicaSet's status changes.
Semantics: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kapi.resources import DEPLOYMENTS, REPLICA_SETS
from netnslab.workloads.actions import Action, Create, Decision, Delete, Patch, Tell
from netnslab.workloads.claim import claim
from netnslab.workloads.progress import status_of
from netnslab.workloads.rolling import bounds, is_finished, proportional, rolling
from netnslab.workloads.template import HASH_LABEL, template_hash, with_hash, without_hash
from netnslab.workloads.values import Deployment, ReplicaSet

Json = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset({REVISION, DESIRED, MOST, "kubectl.kubernetes.io/last-applied-configuration"})


@dataclass(frozen=True, slots=True)
class _Sets:
    """A Deployment's ReplicaSets: the one of its present template, and those of earlier ones, oldest first."""

    new: ReplicaSet | None
    old: tuple[ReplicaSet, ...]

    @property
    def all(self) -> tuple[ReplicaSet, ...]:
        return (*self.old, self.new) if self.new else self.old


def decide(
    deployment: Deployment,
    candidates: Iterable[ReplicaSet],
    pods: Mapping[str, int],
    now: datetime,
    *,
    taken: Container[str] = (),
) -> Decision:
    """Take the next step. `pods` counts, by the uid of their ReplicaSet, the pods that have not yet come to their end.

    `candidates` are the Deployment's ReplicaSets, and those in its namespace that nobody owns; `taken` holds the keys
    of all ReplicaSets there are.
    """
    known = [one for one in candidates if not one.meta.terminating]
    claimed = claim(
        deployment.reference, deployment.selector, known, REPLICA_SETS, adopt=not deployment.meta.terminating
    )
    sets = _sorted_out(deployment, claimed.owned)
    steps: list[Action] = [] if deployment.meta.terminating else list(_steps(deployment, sets, pods, taken))
    status, again = status_of(deployment, sets.new, sets.old, now)
    if any(deployment.status.get(name) != value for name, value in status.items()):
        steps.append(Patch(DEPLOYMENTS, deployment.key, {"status": status}, "status"))
    return Decision((*claimed.patches, *steps), again)


def _sorted_out(deployment: Deployment, owned: Iterable[ReplicaSet]) -> _Sets:
    by_age = sorted(owned, key=lambda one: (one.meta.created, one.meta.name))
    wanted = without_hash(deployment.template)
    new = next((one for one in by_age if without_hash(one.template) == wanted), None)
    return _Sets(new, tuple(one for one in by_age if one is not new))


def _steps(deployment: Deployment, sets: _Sets, pods: Mapping[str, int], taken: Container[str]) -> Iterable[Action]:
    if sets.new is None and not deployment.paused:
        yield from _new_set(deployment, sets, pods, taken)
        return
    yield from _revisions(deployment, sets)
    for one, replicas in _scaled(deployment, sets, pods).items():
        yield from _scale(deployment, _of(sets, one), replicas)
    if not deployment.paused:
        yield from _forgotten(deployment, sets)


def _scaled(deployment: Deployment, sets: _Sets, pods: Mapping[str, int]) -> dict[str, int]:
    """Give the number of replicas that each ReplicaSet (by uid) should have after this step."""
    if deployment.paused or _was_resized(deployment, sets):
        return proportional(deployment, sets.new, sets.old)
    if deployment.strategy == "Recreate":
        return _recreated(deployment, sets, pods)
    return rolling(deployment, sets.new, sets.old)


def _was_resized(deployment: Deployment, sets: _Sets) -> bool:
    """Whether `replicas` was changed since the sets in use were last scaled."""
    return any(
        one.replicas and one.meta.annotations.get(DESIRED, str(deployment.replicas)) != str(deployment.replicas)
        for one in sets.all
    )


def _recreated(deployment: Deployment, sets: _Sets, pods: Mapping[str, int]) -> dict[str, int]:
    """All old pods must have come to their end before the first new one starts."""
    wanted = {one.uid: 0 for one in sets.old}
    if sets.new is not None and not any(pods.get(one.uid) for one in sets.old):
        wanted[sets.new.uid] = deployment.replicas
    return wanted


def _new_set(deployment: Deployment, sets: _Sets, pods: Mapping[str, int], taken: Container[str]) -> Iterable[Action]:
    """Create the ReplicaSet of the present template, or count a collision where its name is taken."""
    collisions = deployment.status.get("collisionCount") or 0
    name = template_hash(deployment.template, collisions)
    full = f"{deployment.meta.name}-{name}"
    if f"{deployment.meta.namespace}/{full}" in taken:
        yield Patch(DEPLOYMENTS, deployment.key, {"status": {"collisionCount": collisions + 1}}, "status")
        return
    held_back = deployment.strategy == "Recreate" and any(pods.get(one.uid) for one in sets.old)
    replicas = 0 if held_back else _first_replicas(deployment, sets)
    obj = _set_object(deployment, full, name, replicas, str(_latest(sets) + 1))
    yield Create(REPLICA_SETS, obj, deployment.reference)
    if replicas:
        yield _told(deployment, full, "up", 0, replicas)


def _first_replicas(deployment: Deployment, sets: _Sets) -> int:
    if deployment.strategy == "Recreate":
        return deployment.replicas
    most, _ = bounds(deployment)
    return max(0, min(deployment.replicas, most - sum(one.replicas for one in sets.old)))


def _set_object(deployment: Deployment, full: str, name: str, replicas: int, revision: str) -> Json:
    template = with_hash(deployment.template, name)
    labels = deployment.selector_object.get("matchLabels") or {}
    selector = {**deployment.selector_object, "matchLabels": {**labels, HASH_LABEL: name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": full,
            "namespace": deployment.meta.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": {**_copied(deployment), REVISION: revision, **_sizes(deployment)},
            "ownerReferences": [deployment.reference.as_owner()],
        },
        "spec": {
            "replicas": replicas,
            "selector": selector,
            "template": template,
            "minReadySeconds": deployment.min_ready_seconds,
        },
    }


def _copied(deployment: Deployment) -> dict[str, str]:
    return {name: value for name, value in deployment.meta.annotations.items() if name not in _NOT_COPIED}


def _sizes(deployment: Deployment) -> dict[str, str]:
    most, _ = bounds(deployment)
    return {DESIRED: str(deployment.replicas), MOST: str(most if deployment.replicas else 0)}


def _revision(one: ReplicaSet) -> int:
    text = one.meta.annotations.get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def _latest(sets: _Sets) -> int:
    return max(map(_revision, sets.old), default=0)


def _revisions(deployment: Deployment, sets: _Sets) -> Iterable[Action]:
    """The present template has the highest revision, also when it is an earlier one that came back (`rollout undo`)."""
    if sets.new is None:
        return
    revision = str(max(_revision(sets.new), _latest(sets) + 1))
    wanted: Json = {**_copied(deployment), REVISION: revision}
    if not wanted.items() <= dict(sets.new.meta.annotations).items():
        yield Patch(REPLICA_SETS, sets.new.key, {"metadata": {"annotations": wanted}})
    if sets.new.min_ready_seconds != deployment.min_ready_seconds:
        yield Patch(REPLICA_SETS, sets.new.key, {"spec": {"minReadySeconds": deployment.min_ready_seconds}})
    if deployment.meta.annotations.get(REVISION) != revision:
        yield Patch(DEPLOYMENTS, deployment.key, {"metadata": {"annotations": {REVISION: revision}}})


def _of(sets: _Sets, uid: str) -> ReplicaSet:
    return next(one for one in sets.all if one.uid == uid)


def _scale(deployment: Deployment, one: ReplicaSet, replicas: int) -> Iterable[Action]:
    sizes = _sizes(deployment)
    if one.replicas == replicas and (not replicas or sizes.items() <= dict(one.meta.annotations).items()):
        return
    yield Patch(REPLICA_SETS, one.key, {"spec": {"replicas": replicas}, "metadata": {"annotations": sizes}})
    if one.replicas != replicas:
        yield _told(deployment, one.meta.name, "up" if replicas > one.replicas else "down", one.replicas, replicas)


def _told(deployment: Deployment, name: str, way: str, before: int, after: int) -> Tell:
    message = f"Scaled {way} replica set {name} from {before} to {after}"
    return Tell(deployment.reference, "Normal", "ScalingReplicaSet", message)


def _forgotten(deployment: Deployment, sets: _Sets) -> Iterable[Action]:
    """Delete empty ReplicaSets beyond the history that is kept, oldest revision first, once the rollout is over."""
    if sets.new is None or not is_finished(deployment, sets.new):
        return
    empty = sorted((one for one in sets.old if not one.replicas and not one.count("replicas")), key=_revision)
    for one in empty[: max(0, len(empty) - deployment.history_limit)]:
        yield Delete(REPLICA_SETS, one.key, one.uid, deployment.reference)
