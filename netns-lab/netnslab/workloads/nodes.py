"""Nodes that fall silent, and pods whose node is gone: the decisions of Kubernetes' node lifecycle controller. Pure.

A node lives while its kubelet renews its Lease. One that stops is marked not ready, and so are its pods, whose
endpoints leave; when it is heard of again everything is taken back. Time is told in looks, not by a clock: a process
that was stopped itself looks once when it goes on, and blames no node for its own silence.
https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kapi.resources import NODES, PODS, Resource
from netnslab.workloads.actions import Action, Delete, Patch, Tell
from netnslab.workloads.values import Node, Pod

Json = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
LOOKS = 4  # in the time that a node may be silent
NODE_SILENT = "NodeStatusUnknown"
POD_OF_SILENT = "NodeNotReady"


@dataclass(frozen=True, slots=True)
class Lease:
    """The heartbeat of a node: the Lease that is called like it, and when it says it was renewed."""

    namespace: str
    name: str
    renewed: str


@dataclass(frozen=True, slots=True)
class Pulses:
    """For each node its last heartbeat and the looks since; and for each node that is missing the looks without it."""

    beats: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    absent: Mapping[str, int] = field(default_factory=dict)

    def look(self, leases: Iterable[Lease], absent: Iterable[str]) -> Pulses:
        """Look once more."""
        beats = {}
        for lease in leases:
            if lease.namespace == LEASE_NAMESPACE:
                renewed, looks = self.beats.get(lease.name, ("", 0))
                beats[lease.name] = (lease.renewed, looks + 1 if renewed == lease.renewed else 0)
        return Pulses(beats, {name: self.absent.get(name, 0) + 1 for name in absent})

    def silent(self, node: str) -> bool:
        """Whether a node has stopped renewing its Lease; one that never had a Lease never promised to."""
        return self.beats.get(node, ("", 0))[1] >= LOOKS - 1

    def beating(self, node: str) -> bool:
        """Whether a node has renewed its Lease since the look before."""
        return node in self.beats and self.beats[node][1] == 0

    def gone(self, node: str) -> bool:
        """Whether a node has been missing for long enough."""
        return self.absent.get(node, 0) >= LOOKS


def lease(obj: Json) -> Lease:
    """Read a coordination.k8s.io/v1 Lease."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    return Lease(meta.get("namespace") or "", meta["name"], spec.get("renewTime") or "")


def decide(
    pulses: Pulses, nodes: Mapping[str, Node], pods_on: Mapping[str, Mapping[str, Pod]], now: str
) -> tuple[Action, ...]:
    """Mark what has fallen silent, take back what is heard of again, and delete the pods of nodes that are gone."""
    return (*_marked(pulses, nodes, pods_on, now), *_orphaned(pulses, pods_on))


def _marked(
    pulses: Pulses, nodes: Mapping[str, Node], pods_on: Mapping[str, Mapping[str, Pod]], now: str
) -> Iterator[Action]:
    for name, node in nodes.items():
        pods = pods_on.get(name, {}).values()
        if pulses.silent(name):
            if node.ready_reason != NODE_SILENT:
                yield _condition(NODES, name, "Unknown", NODE_SILENT, now)
                yield Tell(node.reference, "Warning", "NodeNotReady", f"Node {name} has stopped renewing its lease")
            yield from (_condition(PODS, pod.key, "False", POD_OF_SILENT, now) for pod in pods if pod.ready)
        elif pulses.beating(name):
            if node.ready_reason == NODE_SILENT:
                yield _condition(NODES, name, "True", "KubeletReady", now)
                yield Tell(node.reference, "Normal", "NodeReady", f"Node {name} renews its lease again")
            marked = (pod for pod in pods if pod.ready_reason == POD_OF_SILENT)
            yield from (_condition(PODS, pod.key, "True", "", now) for pod in marked)


def _orphaned(pulses: Pulses, pods_on: Mapping[str, Mapping[str, Pod]]) -> Iterator[Action]:
    for name in filter(pulses.gone, pods_on):
        for pod in pods_on[name].values():
            yield Delete(PODS, pod.key, pod.uid, pod.reference, grace=0)


def _condition(resource: Resource, key: str, status: str, reason: str, now: str) -> Patch:
    """Change the Ready condition, and leave the others as they are; its message goes with what it told of."""
    message = "the node has stopped renewing its lease" if status != "True" else None
    condition = {"type": "Ready", "status": status, "lastTransitionTime": now, "reason": reason or None}
    condition["message"] = message
    return Patch(resource, key, {"status": {"conditions": [condition]}}, "status", kind="strategic")
