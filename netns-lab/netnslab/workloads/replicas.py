"""So many pods of one template: what a ReplicaSet or a ReplicationController has to do. Pure.

Semantics: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kapi.resources import PODS
from netnslab.workloads.actions import Action, Create, Decision, Delete, Patch
from netnslab.workloads.availability import is_available, next_available
from netnslab.workloads.claim import claim
from netnslab.workloads.template import pod_of
from netnslab.workloads.values import Pod, ReplicaSet

Json = dict[str, Any]

_BURST = 500  # most pods created or deleted in one go
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def decide(owner: ReplicaSet, candidates: Iterable[Pod], now: datetime) -> Decision:
    """Bring the number of pods to `replicas`. `candidates` are its pods, and those near it that nobody owns."""
    alive = (pod for pod in candidates if pod.active)
    claimed = claim(owner.reference, owner.selector, alive, PODS, adopt=not owner.meta.terminating)
    pods = claimed.owned
    actions: list[Action] = [*claimed.patches]
    status, again = _status(owner, pods, now)
    if {name: owner.status.get(name) for name in status} != status:
        actions.append(Patch(owner.resource, owner.key, {"status": status}, "status"))
    missing = owner.replicas - len(pods)
    if owner.meta.terminating:
        missing = 0
    if missing > 0:  # last, as the server may refuse a pod
        actions.append(Create(PODS, pod_of(owner.template, owner.reference), owner.reference, min(missing, _BURST)))
    elif missing < 0:
        doomed = surplus(pods, -missing)
        actions += [Delete(PODS, pod.key, pod.meta.uid, owner.reference) for pod in doomed]
    return Decision(tuple(actions), again)


def surplus(pods: Sequence[Pod], count: int) -> list[Pod]:
    """Choose the pods whose loss hurts least: not placed, not running, not ready, cheap, doubled on a node, young."""
    crowd = Counter(pod.node_name for pod in pods)

    def worth(pod: Pod) -> tuple[object, ...]:
        return (
            bool(pod.node_name),
            _PHASES.get(pod.phase, 2),
            pod.ready,
            pod.deletion_cost,
            -crowd[pod.node_name],
            _earlier_first(pod.ready_since),
            -pod.restarts,
            _earlier_first(pod.meta.created),
            pod.meta.name,
        )

    return sorted(pods, key=worth)[: min(count, _BURST)]


def _earlier_first(stamp: str) -> tuple[int, ...]:
    """Order RFC 3339 text so that the latest comes first: the youngest pod is worth least."""
    return tuple(-ord(letter) for letter in stamp)


def _status(owner: ReplicaSet, pods: Sequence[Pod], now: datetime) -> tuple[Json, float | None]:
    """Count, and say when a pod that is ready will also have been so for long enough."""
    wanted = ((owner.template.get("metadata") or {}).get("labels") or {}).items()
    ready = [pod for pod in pods if pod.ready]
    available = sum(is_available(pod, owner.min_ready_seconds, now) for pod in ready)
    status = {
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(wanted <= dict(pod.meta.labels).items() for pod in pods),
        "readyReplicas": len(ready),
        "availableReplicas": available,
        "observedGeneration": owner.meta.generation,
    }
    return status, next_available(ready, owner.min_ready_seconds, now)
