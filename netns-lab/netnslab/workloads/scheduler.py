"""Which node gets a pod. Pure.

A node must be ready, have room, satisfy the pod's nodeSelector and required node affinity, and have no taint (effect
NoSchedule or NoExecute) that the pod does not tolerate. Among those, the one with the fewest pods of the same owner
wins, then the one with the fewest pods: what runs twice should survive the loss of a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from kapi.network import Reference
from kapi.resources import PODS
from kapi.selectors import matches_labels
from netnslab.workloads.actions import Action, Bind, Patch, Tell
from netnslab.workloads.nodeselector import NAME
from netnslab.workloads.values import Node, Pod, Taint, Toleration

_REPELLING = frozenset({"NoSchedule", "NoExecute"})
_CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")  # as if a cordoned node had it


@dataclass(slots=True)
class Load:
    """How many pods each node has: in all, and of each owner."""

    pods: Counter[str] = field(default_factory=Counter)
    owned: Counter[tuple[str, str]] = field(default_factory=Counter)  # (node, uid of the owner)

    def add(self, pod: Pod, node: str, count: int = 1) -> None:
        """Count a pod on a node, or with a `count` of -1 no longer."""
        self.pods[node] += count
        if pod.meta.owner is not None:
            self.owned[node, pod.meta.owner.uid] += count
            if not self.owned[node, pod.meta.owner.uid]:
                del self.owned[node, pod.meta.owner.uid]


def decide(pending: Iterable[Pod], nodes: Iterable[Node], load: Load, now: str) -> tuple[Action, ...]:
    """Place pods, in order of their age. `load` is brought up to date with the decisions."""
    candidates = sorted(nodes, key=lambda node: node.key)
    actions: list[Action] = []
    for pod in sorted(pending, key=lambda pod: (pod.meta.created, pod.key)):
        refused = {node.key: _refusal(pod, node, load) for node in candidates}
        fitting = [node.key for node in candidates if not refused[node.key]]
        if fitting:
            chosen = _emptiest(pod, fitting, load)
            load.add(pod, chosen)
            actions.append(Bind(pod.reference, chosen))
        else:
            actions += _unschedulable(pod, refused.values(), now)
    return tuple(actions)


def _emptiest(pod: Pod, nodes: list[str], load: Load) -> str:
    owner = pod.meta.owner.uid if pod.meta.owner else ""
    return min(nodes, key=lambda node: (load.owned[node, owner] if owner else 0, load.pods[node], node))


def untolerated(pod: Pod, node: Node, effects: Container[str] = _REPELLING) -> Taint | None:
    """Give a taint of a node, of these effects, that a pod does not put up with."""
    return next((taint for taint in node.taints if taint.effect in effects and not _tolerates(pod, taint)), None)


def selects(pod: Pod, node: Node) -> bool:
    """Whether a node is one of those that a pod wants, by its nodeSelector and its required node affinity."""
    if not all(node.meta.labels.get(label) == value for label, value in pod.node_selector.items()):
        return False
    labels = {**node.meta.labels, NAME: node.key}
    return pod.node_affinity is None or any(matches_labels(term, labels) for term in pod.node_affinity)


def _refusal(pod: Pod, node: Node, load: Load) -> str:
    """Say why a pod cannot go to a node, in the scheduler's usual words; "" where it can."""
    taint = untolerated(pod, node)
    if taint is not None:
        return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    if not node.ready:
        return "node(s) were not ready"
    if node.cordoned and not _tolerates(pod, _CORDONED):
        return "node(s) were unschedulable"
    if not selects(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    return "Too many pods" if load.pods[node.key] >= node.room else ""


def _tolerates(pod: Pod, taint: Taint) -> bool:
    return any(_accepts(toleration, taint) for toleration in pod.tolerations)


def _accepts(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.exists or (bool(toleration.key) and toleration.value == taint.value)


def _unschedulable(pod: Pod, reasons: Iterable[str], now: str) -> tuple[Action, ...]:
    """Say once, in the pod's status and in an Event, why it has to wait."""
    counted = Counter(reasons)
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(counted.items()))
    message = f"0/{counted.total()} nodes are available" + (f": {listed}." if listed else ".")
    if message == pod.refusal:
        return ()
    about: Reference = pod.reference
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    patch = {"status": {"conditions": [{**condition, "lastTransitionTime": now}]}}
    return (Patch(PODS, pod.key, patch, "status"), Tell(about, "Warning", "FailedScheduling", message))
