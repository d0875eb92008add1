"""The objects that workload controllers and the scheduler decide on, as small frozen values. Pure.

Templates, and the conditions of a status, stay JSON: they are copied, never interpreted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kapi.network import Reference
from kapi.resources import REPLICA_SETS, REPLICATION_CONTROLLERS, Resource
from kapi.selectors import Requirement, from_object
from netnslab.workloads import nodeselector
from netnslab.workloads.clock import earlier

Json = dict[str, Any]
Selector = tuple[Requirement, ...]

_FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What every object has."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    created: str = ""
    terminating: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Reference | None = None  # the controller among its ownerReferences


@dataclass(frozen=True, slots=True)
class Object:
    """What the views of this process tell apart: its key, its uid and its version."""

    meta: Identity

    @property
    def key(self) -> str:
        """`namespace/name`, or the name alone."""
        return f"{self.meta.namespace}/{self.meta.name}" if self.meta.namespace else self.meta.name

    @property
    def uid(self) -> str:
        """Unique in space and time."""
        return self.meta.uid

    @property
    def resource_version(self) -> str:
        """Grows with every write."""
        return self.meta.resource_version


@dataclass(frozen=True, slots=True)
class Toleration:
    """What a pod puts up with on a node. An empty effect means all effects, an empty key every key."""

    key: str
    exists: bool
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Taint:
    """What a node repels pods with."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Pod(Object):
    """A pod, as far as placing and counting it goes."""

    phase: str = "Pending"
    ready: bool = False
    ready_since: str = ""
    ready_reason: str = ""
    node_name: str = ""
    scheduler: str = "default-scheduler"
    gated: bool = False
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_affinity: tuple[Selector, ...] | None = None  # one of them must match; None is no wish
    tolerations: tuple[Toleration, ...] = ()
    refusal: str = ""  # the message of a PodScheduled=False condition
    deletion_cost: int = 0
    restarts: int = 0  # of the container that was restarted most
    all_restarts: int = 0
    ended: str = ""  # when it did, or would have, as far as that is known
    finalizers: tuple[str, ...] = ()
    grace: int | None = None  # seconds that it has while it is being deleted: 0 when its kubelet has ended it

    @property
    def active(self) -> bool:
        """Whether the pod counts: it neither has finished nor is being deleted."""
        return not self.meta.terminating and not self.finished

    @property
    def finished(self) -> bool:
        """Whether it has run to its end."""
        return self.phase in _FINISHED

    @property
    def reference(self) -> Reference:
        """What an Event about this pod points at."""
        return Reference("Pod", self.meta.namespace, self.meta.name, self.meta.uid)


@dataclass(frozen=True, slots=True)
class Node(Object):
    """A node, as far as placing pods on it goes. `room` is how many pods it takes."""

    ready: bool = True
    ready_reason: str = ""
    cordoned: bool = False
    taints: tuple[Taint, ...] = ()
    room: int = 110

    @property
    def reference(self) -> Reference:
        """What an Event about this node points at."""
        return Reference("Node", "", self.meta.name, self.meta.uid)


@dataclass(frozen=True, slots=True)
class ReplicaSet(Object):
    """A ReplicaSet or a ReplicationController: so many pods of one template."""

    resource: Resource = REPLICA_SETS
    replicas: int = 1
    selector: Selector | None = None
    min_ready_seconds: int = 0
    template: Json = field(default_factory=dict)
    status: Json = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """What an Event about this object, and an owner reference to it, points at."""
        resource = self.resource
        return Reference(resource.kind, self.meta.namespace, self.meta.name, self.meta.uid, resource.api_version)

    def count(self, field_name: str) -> int:
        """Give a number of the status; absent is 0."""
        return int(self.status.get(field_name) or 0)


@dataclass(frozen=True, slots=True)
class Deployment(Object):
    """A Deployment. `surge` and `unavailable` are as written: numbers or percentages."""

    replicas: int = 1
    selector: Selector | None = None
    selector_object: Json = field(default_factory=dict)
    template: Json = field(default_factory=dict)
    min_ready_seconds: int = 0
    strategy: str = "RollingUpdate"
    surge: int | str = "25%"
    unavailable: int | str = "25%"
    history_limit: int = 10
    deadline: int = 600  # progressDeadlineSeconds
    paused: bool = False
    status: Json = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """What an Event about this object, and an owner reference to it, points at."""
        return Reference("Deployment", self.meta.namespace, self.meta.name, self.meta.uid, "apps/v1")


def pod(obj: Json) -> Pod:
    """Read a v1 Pod."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready") or {}, conditions.get("PodScheduled") or {}
    meta = identity(obj)
    containers = _container_statuses(obj)
    return Pod(
        meta,
        phase=status.get("phase") or "Pending",
        ready=ready.get("status") == "True",
        ready_since=ready.get("lastTransitionTime") or "",
        ready_reason=ready.get("reason") or "",
        node_name=spec.get("nodeName") or "",
        scheduler=spec.get("schedulerName") or "default-scheduler",
        gated=bool(spec.get("schedulingGates")),
        node_selector=spec.get("nodeSelector") or {},
        node_affinity=nodeselector.terms(spec.get("affinity") or {}),
        tolerations=tuple(_toleration(t) for t in spec.get("tolerations") or ()),
        refusal=(scheduled.get("message") or "") if scheduled.get("status") == "False" else "",
        deletion_cost=_number(meta.annotations.get("controller.kubernetes.io/pod-deletion-cost")),
        restarts=max((int(c.get("restartCount") or 0) for c in status.get("containerStatuses") or ()), default=0),
        all_restarts=sum(int(c.get("restartCount") or 0) for c in containers),
        ended=_ended(obj, ready),
        finalizers=tuple(obj["metadata"].get("finalizers") or ()),
        grace=obj["metadata"].get("deletionGracePeriodSeconds"),
    )


def node(obj: Json) -> Node:
    """Read a v1 Node."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    said = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {"status": "True"})
    taints = tuple(Taint(t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ())
    room = _number((status.get("allocatable") or {}).get("pods"), 110)
    return Node(
        identity(obj),
        ready=said.get("status") == "True",
        ready_reason=said.get("reason") or "",
        cordoned=bool(spec.get("unschedulable")),
        taints=taints,
        room=room,
    )


def replica_set(obj: Json) -> ReplicaSet:
    """Read an apps/v1 ReplicaSet."""
    return _replicas(obj, REPLICA_SETS, from_object((obj.get("spec") or {}).get("selector")))


def replication_controller(obj: Json) -> ReplicaSet:
    """Read a v1 ReplicationController. Without a selector it takes the labels of its template."""
    spec = obj.get("spec") or {}
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    labels = spec.get("selector") or template_labels or None
    return _replicas(obj, REPLICATION_CONTROLLERS, from_object({"matchLabels": labels} if labels else None))


def deployment(obj: Json) -> Deployment:
    """Read an apps/v1 Deployment."""
    spec = obj.get("spec") or {}
    strategy = spec.get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    return Deployment(
        identity(obj),
        replicas=or_else(spec.get("replicas"), 1),
        selector=from_object(spec.get("selector")),
        selector_object=spec.get("selector") or {},
        template=spec.get("template") or {},
        min_ready_seconds=spec.get("minReadySeconds") or 0,
        strategy=strategy.get("type") or "RollingUpdate",
        surge=or_else(rolling.get("maxSurge"), "25%"),
        unavailable=or_else(rolling.get("maxUnavailable"), "25%"),
        history_limit=or_else(spec.get("revisionHistoryLimit"), 10),
        deadline=or_else(spec.get("progressDeadlineSeconds"), 600),
        paused=bool(spec.get("paused")),
        status=obj.get("status") or {},
    )


def identity(obj: Json) -> Identity:
    """Read an object's metadata."""
    meta = obj["metadata"]
    owners = [o for o in meta.get("ownerReferences") or () if o.get("controller")]
    namespace = meta.get("namespace") or ""
    owner = Reference(owners[0]["kind"], namespace, owners[0]["name"], owners[0]["uid"]) if owners else None
    return Identity(
        namespace=namespace,
        name=meta["name"],
        uid=meta.get("uid") or "",
        resource_version=meta.get("resourceVersion") or "",
        generation=meta.get("generation") or 0,
        created=meta.get("creationTimestamp") or "",
        terminating="deletionTimestamp" in meta,
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
        owner=owner,
    )


def _replicas(obj: Json, resource: Resource, selector: Selector | None) -> ReplicaSet:
    spec = obj.get("spec") or {}
    return ReplicaSet(
        identity(obj),
        resource=resource,
        replicas=or_else(spec.get("replicas"), 1),
        selector=selector,
        min_ready_seconds=spec.get("minReadySeconds") or 0,
        template=spec.get("template") or {},
        status=obj.get("status") or {},
    )


def _container_statuses(obj: Json) -> list[Json]:
    status = obj.get("status") or {}
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def _ended(obj: Json, ready: Json) -> str:
    """When a pod that has ended did: what is told of its containers, else of its state, its deletion, its creation.

    Whoever ends a pod that never ran has no container to tell of.
    """
    meta = obj["metadata"]
    told = max((_end(container) for container in _container_statuses(obj)), default="")
    unready = ready.get("lastTransitionTime") if ready.get("status") == "False" else ""
    return told or unready or _deleted(meta) or meta.get("creationTimestamp") or ""


def _deleted(meta: Json) -> str:
    """When somebody asked for a deletion: its timestamp is when that should be over."""
    return earlier(meta.get("deletionTimestamp") or "", meta.get("deletionGracePeriodSeconds") or 0)


def _end(container: Json) -> str:
    """When a container has ended, for good; "" for one that has not."""
    return ((container.get("state") or {}).get("terminated") or {}).get("finishedAt") or ""


def _toleration(obj: Json) -> Toleration:
    exists = obj.get("operator") == "Exists"
    return Toleration(obj.get("key") or "", exists, obj.get("value") or "", obj.get("effect") or "")


def or_else(value: Any, default: Any) -> Any:
    """Give a field, or its default where it is not there."""
    return default if value is None else value


def _number(text: Any, default: int = 0) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return default
