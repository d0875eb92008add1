"""The pods of a DaemonSet: which nodes admit one, and what it is made of. Pure.

A pod is made for one node, which it names in its node affinity; the scheduler only binds it.
"""

from __future__ import annotations

from typing import Any

from kapi.resources import PODS
from netnslab.workloads import scheduler, values
from netnslab.workloads.actions import Create
from netnslab.workloads.nodeselector import NAME
from netnslab.workloads.revisions import LABEL, Revision
from netnslab.workloads.sets import DaemonSet
from netnslab.workloads.template import pod_of
from netnslab.workloads.values import Node, Pod

Json = dict[str, Any]

_EVICTING = frozenset({"NoExecute"})
_PUT_UP_WITH = {  # by every pod of a DaemonSet, as it runs the node's own services
    "not-ready": "NoExecute",
    "unreachable": "NoExecute",
    "disk-pressure": "NoSchedule",
    "memory-pressure": "NoSchedule",
    "pid-pressure": "NoSchedule",
    "unschedulable": "NoSchedule",
}


def example(owner: DaemonSet) -> Pod:
    """A pod as it would be on any node, to ask nodes whether they admit it."""
    spec = owner.template.get("spec") or {}
    return values.pod({"metadata": {"name": owner.meta.name}, "spec": {**spec, "tolerations": _tolerations(spec)}})


def admits(pod: Pod, node: Node) -> tuple[bool, bool]:
    """Whether a node should have such a pod, and whether one that is there may stay."""
    if pod.node_name not in ("", node.key) or not scheduler.selects(pod, node):
        return False, False
    return scheduler.untolerated(pod, node) is None, scheduler.untolerated(pod, node, _EVICTING) is None


def node_of(pod: Pod) -> str:
    """The name of the node that a pod is on, or is for; "" where that is left open."""
    named = (one for term in pod.node_affinity or () for one in term if one.key == NAME)
    return pod.node_name or next((value for one in named for value in one.values), "")


def pod(owner: DaemonSet, node: str, revision: Revision) -> Create:
    """Make the pod for a node."""
    obj = pod_of(owner.template, owner.reference)
    meta, spec = obj["metadata"], obj["spec"]
    labels = {**(meta.get("labels") or {}), LABEL: revision.hash}
    affinity = spec.get("affinity") or {}
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": fields}]}}
    bound = {**affinity, "nodeAffinity": {**(affinity.get("nodeAffinity") or {}), **required}}
    spec = {**spec, "affinity": bound, "tolerations": _tolerations(spec)}
    return Create(PODS, {**obj, "metadata": {**meta, "labels": labels}, "spec": spec}, owner.reference)


def _tolerations(spec: Json) -> list[Json]:
    taints = {**_PUT_UP_WITH, **({"network-unavailable": "NoSchedule"} if spec.get("hostNetwork") else {})}
    added = ({"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": e} for key, e in taints.items())
    given = spec.get("tolerations") or []
    return [*given, *(toleration for toleration in added if toleration not in given)]
