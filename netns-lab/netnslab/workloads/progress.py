"""The status of a Deployment: counts, and the conditions Available and Progressing. Pure.

`kubectl rollout status` and `kubectl wait --for=condition=Available` read these.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from netnslab.workloads.clock import seconds_since, stamp
from netnslab.workloads.rolling import bounds
from netnslab.workloads.values import Deployment, ReplicaSet

Json = dict[str, Any]

_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def status_of(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], now: datetime
) -> tuple[Json, float | None]:
    """Give the status, and in how many seconds the rollout's deadline has to be looked at."""
    sets = [*old, new] if new is not None else list(old)
    counts = {
        "replicas": sum(one.count("replicas") for one in sets),
        "updatedReplicas": new.count("replicas") if new else 0,
        "readyReplicas": sum(one.count("readyReplicas") for one in sets),
        "availableReplicas": sum(one.count("availableReplicas") for one in sets),
    }
    counts["unavailableReplicas"] = max(0, counts["replicas"] - counts["availableReplicas"])
    progressing, again = _progressing(deployment, new, counts, now)
    conditions = [_available(deployment, counts, now), progressing]
    others = [c for c in deployment.status.get("conditions") or () if c.get("type") not in ("Available", "Progressing")]
    status: Json = {"observedGeneration": deployment.meta.generation, **counts}
    status["conditions"] = [condition for condition in conditions if condition] + others
    return status, again


def _known(deployment: Deployment, kind: str) -> Json:
    return next((c for c in deployment.status.get("conditions") or () if c.get("type") == kind), {})


def _condition(known: Json, kind: str, truth: str, reason: str, message: str, now: datetime) -> Json:  # noqa: PLR0917  # the fields of a condition, in their order
    """Give a condition; its moments move only when it does."""
    told = {"type": kind, "status": truth, "reason": reason, "message": message}
    if all(known.get(name) == value for name, value in told.items()):
        return known
    turned = known.get("lastTransitionTime") if known.get("status") == truth else None
    return {**told, "lastUpdateTime": stamp(now), "lastTransitionTime": turned or stamp(now)}


def _available(deployment: Deployment, counts: Json, now: datetime) -> Json:
    known = _known(deployment, "Available")
    _, fewest = bounds(deployment)
    needed = deployment.replicas if deployment.strategy == "Recreate" else fewest
    if counts["availableReplicas"] >= needed:
        text = "Deployment has minimum availability."
        return _condition(known, "Available", "True", "MinimumReplicasAvailable", text, now)
    text = "Deployment does not have minimum availability."
    return _condition(known, "Available", "False", "MinimumReplicasUnavailable", text, now)


def _progressing(
    deployment: Deployment, new: ReplicaSet | None, counts: Json, now: datetime
) -> tuple[Json, float | None]:
    known = _known(deployment, "Progressing")
    if deployment.paused:
        return _condition(known, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now), None
    if new is None:
        return known, None
    name = f'"{new.meta.name}"'
    if _is_complete(deployment, counts):
        text = f"ReplicaSet {name} has successfully progressed."
        return _condition(known, "Progressing", "True", "NewReplicaSetAvailable", text, now), None
    started = known.get("reason") == "NewReplicaSetAvailable" and known.get("message", "").find(name) < 0
    if not known or started or known.get("reason") == "DeploymentPaused":
        text = f"Created new replica set {name}"
        return _condition(known, "Progressing", "True", "NewReplicaSetCreated", text, now), float(deployment.deadline)
    if known.get("reason") == "NewReplicaSetAvailable":
        return known, None  # a rollout that was complete stays so, whatever happens to its pods
    if _moved(deployment, counts):
        text = f"ReplicaSet {name} is progressing."
        moved = _condition({}, "Progressing", "True", "ReplicaSetUpdated", text, now)
        if known.get("status") == "True":
            moved["lastTransitionTime"] = known.get("lastTransitionTime")
        return moved, float(deployment.deadline)
    left = deployment.deadline - seconds_since(known.get("lastUpdateTime") or stamp(now), now)
    if left <= 0:
        text = f"ReplicaSet {name} has timed out progressing."
        return _condition(known, "Progressing", "False", "ProgressDeadlineExceeded", text, now), None
    return known, left


def _is_complete(deployment: Deployment, counts: Json) -> bool:
    wanted = deployment.replicas
    return bool(counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted)


def _moved(deployment: Deployment, counts: Json) -> bool:
    """Whether the rollout got on since the status was last written."""
    before = {name: int(deployment.status.get(name) or 0) for name in _COUNTS}
    fewer_old = (counts["replicas"] - counts["updatedReplicas"]) < (before["replicas"] - before["updatedReplicas"])
    return fewer_old or any(counts[name] > before[name] for name in _COUNTS[1:])
