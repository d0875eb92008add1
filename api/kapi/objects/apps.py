"""Controllers that keep a number of pods: ReplicationController, ReplicaSet, Deployment; and leases."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Condition,
    Int,
    IntOrString,
    LabelSelector,
    Long,
    Object,
    Structure,
    Time,
    about,
)
from kapi.objects.pods import PodTemplateSpec


class ReplicationControllerSpec(Structure):
    """What a ReplicationController is asked to keep."""

    replicas: Int | None = about("How many pods; 1 by default.")
    min_ready_seconds: Int | None = about("Seconds a pod must be ready to count as available.")
    selector: dict[str, str] | None = about("Labels of its pods; those of the template by default.")
    template: PodTemplateSpec | None = about("The pods to make.")


class ReplicaStatus(Structure):
    """How many pods there are."""

    replicas: Int | None = about("Pods there are.")
    fully_labeled_replicas: Int | None = about("Pods with all labels of the template.")
    ready_replicas: Int | None = about("Pods that are ready.")
    available_replicas: Int | None = about("Pods that are available.")
    terminating_replicas: Int | None = about("Pods that are going away.")
    observed_generation: Long | None = about("The generation this status is about.")
    conditions: list[Condition] | None = about("Further state.", key="type")


class ReplicationController(Object):
    """Keeps a number of pods, the old way; a Deployment is the new one."""

    spec: ReplicationControllerSpec | None = about("What to keep.")
    status: ReplicaStatus | None = about("What there is.")


class ReplicaSetSpec(Structure):
    """What a ReplicaSet is asked to keep."""

    replicas: Int | None = about("How many pods; 1 by default.")
    min_ready_seconds: Int | None = about("Seconds a pod must be ready to count as available.")
    selector: LabelSelector | None = about("Its pods. It cannot be changed.")
    template: PodTemplateSpec | None = about("The pods to make.")


class ReplicaSet(Object):
    """Keeps a number of pods of one template."""

    spec: ReplicaSetSpec | None = about("What to keep.")
    status: ReplicaStatus | None = about("What there is.")


class RollingUpdateDeployment(Structure):
    """How fast pods are replaced."""

    max_unavailable: IntOrString | None = about("Pods that may be missing meanwhile, as a number or percentage.")
    max_surge: IntOrString | None = about("Pods that may be there in addition, as a number or percentage.")


class DeploymentStrategy(Structure):
    """How pods are replaced."""

    type: str | None = about("RollingUpdate (the default) or Recreate.")
    rolling_update: RollingUpdateDeployment | None = about("How fast, for RollingUpdate.")


class DeploymentSpec(Structure):
    """What a Deployment is asked to keep."""

    replicas: Int | None = about("How many pods; 1 by default.")
    selector: LabelSelector | None = about("Its pods. It cannot be changed.")
    template: PodTemplateSpec | None = about("The pods to make.")
    strategy: DeploymentStrategy | None = about("How pods of an old template are replaced.", retain=True)
    min_ready_seconds: Int | None = about("Seconds a pod must be ready to count as available.")
    revision_history_limit: Int | None = about("Old ReplicaSets to keep for undoing; 10 by default.")
    paused: Bool | None = about("Whether changes of the template wait.")
    progress_deadline_seconds: Int | None = about("Seconds without progress that count as failure; 600 by default.")


class DeploymentStatus(Structure):
    """What a Deployment has."""

    observed_generation: Long | None = about("The generation this status is about.")
    replicas: Int | None = about("Pods there are.")
    updated_replicas: Int | None = about("Pods of the present template.")
    ready_replicas: Int | None = about("Pods that are ready.")
    available_replicas: Int | None = about("Pods that are available.")
    unavailable_replicas: Int | None = about("Pods that are missing.")
    terminating_replicas: Int | None = about("Pods that are going away.")
    conditions: list[Condition] | None = about("Whether it makes progress and is available.", key="type")
    collision_count: Int | None = about("How often a name for a ReplicaSet was taken.")


class Deployment(Object):
    """Keeps a number of pods, and replaces them step by step when their template changes."""

    spec: DeploymentSpec | None = about("What to keep.")
    status: DeploymentStatus | None = about("What there is.")


class LeaseSpec(Structure):
    """Who holds a lease, and for how long."""

    holder_identity: str | None = about("Who holds it.")
    lease_duration_seconds: Int | None = about("Seconds it is held for after it was renewed.")
    acquire_time: Time | None = about("When it was acquired.")
    renew_time: Time | None = about("When it was last renewed.")
    lease_transitions: Int | None = about("How often it changed hands.")
    strategy: str | None = about("How the holder is chosen.")
    preferred_holder: str | None = about("Who should hold it.")


class Lease(Object):
    """Something that one process at a time may hold, such as leadership."""

    spec: LeaseSpec | None = about("Who holds it, and for how long.")
