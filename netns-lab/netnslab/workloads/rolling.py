"""How many replicas each ReplicaSet of a Deployment gets next: rolling updates, and changes of size. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from netnslab.workloads.values import Deployment, ReplicaSet


def bounds(deployment: Deployment) -> tuple[int, int]:
    """Give the most pods there may be and the fewest that must be available; percentages count from `replicas`."""
    if deployment.strategy == "Recreate":
        return deployment.replicas, 0
    surge = share(deployment.surge, deployment.replicas, up=True)
    unavailable = min(share(deployment.unavailable, deployment.replicas, up=False), deployment.replicas)
    if not surge and not unavailable:
        unavailable = 1  # else no pod could ever be replaced
    return deployment.replicas + surge, max(0, deployment.replicas - unavailable)


def is_finished(deployment: Deployment, new: ReplicaSet) -> bool:
    """Say whether the new ReplicaSet has all its pods, and all are available."""
    return new.replicas == deployment.replicas <= new.count("availableReplicas")


def rolling(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Give, by uid, the replicas after the next step: more new pods as the surge allows, fewer old ones if safe."""
    if new is None:
        return {}
    most, fewest = bounds(deployment)
    total = new.replicas + sum(one.replicas for one in old)
    wanted = {one.uid: one.replicas for one in (*old, new)}
    if new.replicas > deployment.replicas:
        wanted[new.uid] = deployment.replicas
    elif new.replicas < deployment.replicas:
        wanted[new.uid] += max(0, min(deployment.replicas - new.replicas, most - total))
    return wanted | _shrunk(fewest, total, new, old)


def _shrunk(fewest: int, total: int, new: ReplicaSet, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Take from the old sets what is not available anyway, then what the new set's available pods make up for."""
    unready_new = new.replicas - new.count("availableReplicas")
    removable = total - fewest - max(0, unready_new)
    wanted: dict[str, int] = {}
    for one in old:
        broken = max(0, one.replicas - one.count("availableReplicas"))
        taken = max(0, min(broken, removable))
        wanted[one.uid] = one.replicas - taken
        removable -= taken
    available = new.count("availableReplicas") + sum(one.count("availableReplicas") for one in old)
    spare = available - fewest
    for one in old:
        taken = max(0, min(wanted[one.uid], spare, removable))
        wanted[one.uid] -= taken
        spare -= taken
        removable -= taken
    return wanted


def proportional(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> dict[str, int]:
    """Give, by uid, the replicas after `replicas` was changed: in the middle of a rollout each set has its share."""
    sets = [one for one in (*old, new) if one is not None]
    used = [one for one in sets if one.replicas]
    if len(used) <= 1:
        target = used[0] if used else new
        return {target.uid: deployment.replicas} if target is not None else {}
    most, _ = bounds(deployment)
    most = most if deployment.replicas else 0
    total = sum(one.replicas for one in used)
    wanted = {one.uid: one.replicas * most // total for one in used}
    largest = max(used, key=lambda one: (one.replicas, one.meta.created))
    wanted[largest.uid] += most - sum(wanted.values())
    return wanted


def share(value: int | str, whole: int, *, up: bool) -> int:
    """Resolve a number, or a percentage of a whole that is rounded up or down."""
    if isinstance(value, int):
        return max(0, value)
    digits = value.removesuffix("%")
    percent = int(digits) if digits.isdecimal() else 25
    return (percent * whole + 99) // 100 if up else percent * whole // 100
