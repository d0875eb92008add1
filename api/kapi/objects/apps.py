"""Controllers that keep pods: ReplicationController, ReplicaSet, Deployment, StatefulSet, DaemonSet; and leases."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Condition,
    Int,
    IntOrString,
    Json,
    LabelSelector,
    Long,
    Object,
    Structure,
    Time,
    about,
)
from kapi.objects.pods import PodTemplateSpec
from kapi.objects.storage import PersistentVolumeClaim


class ReplicationControllerSpec(Structure):
    """What a ReplicationController is asked to keep."""

    replicas: Int | None = about("How many pods; 1 by default.")
    min_ready_seconds: Int | None = about("Seconds a pod must be ready to count as available.")
    selector: dict[str, str] | None = about("Labels of its pods; those of the template by default.", atomic=True)
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


class RollingUpdateStatefulSet(Structure):
    """Which pods are replaced."""

    partition: Int | None = about("Pods with a lower ordinal keep the old template.")
    max_unavailable: IntOrString | None = about("Pods that may be missing meanwhile, as a number or percentage.")


class StatefulSetUpdateStrategy(Structure):
    """How pods of an old template are replaced."""

    type: str | None = about("RollingUpdate (the default) or OnDelete.")
    rolling_update: RollingUpdateStatefulSet | None = about("Which, for RollingUpdate.")


class StatefulSetOrdinals(Structure):
    """How pods are numbered."""

    start: Int | None = about("The number of the first pod; 0 by default.")


class ClaimRetentionPolicy(Structure):
    """What becomes of the volumes' claims."""

    when_deleted: str | None = about("Retain or Delete, where the set is deleted.")
    when_scaled: str | None = about("Retain or Delete, where the set becomes smaller.")


class StatefulSetSpec(Structure):
    """What a StatefulSet is asked to keep."""

    replicas: Int | None = about("How many pods; 1 by default.")
    selector: LabelSelector | None = about("Its pods. It cannot be changed.")
    template: PodTemplateSpec | None = about("The pods to make.")
    volume_claim_templates: list[PersistentVolumeClaim] | None = about("Claims that each pod gets of its own.")
    service_name: str | None = about("The headless Service that gives the pods their names.")
    pod_management_policy: str | None = about("OrderedReady (one after the other, the default) or Parallel.")
    update_strategy: StatefulSetUpdateStrategy | None = about("How pods of an old template are replaced.")
    revision_history_limit: Int | None = about("Old templates to keep for undoing; 10 by default.")
    min_ready_seconds: Int | None = about("Seconds a pod must be ready to count as available.")
    persistent_volume_claim_retention_policy: ClaimRetentionPolicy | None = about("What becomes of the claims.")
    ordinals: StatefulSetOrdinals | None = about("How pods are numbered.")


class StatefulSetStatus(Structure):
    """What a StatefulSet has."""

    observed_generation: Long | None = about("The generation this status is about.")
    replicas: Int | None = about("Pods there are.")
    ready_replicas: Int | None = about("Pods that are ready.")
    current_replicas: Int | None = about("Pods of the current revision.")
    updated_replicas: Int | None = about("Pods of the update revision.")
    available_replicas: Int | None = about("Pods that are available.")
    current_revision: str | None = about("The revision that the first pods have.")
    update_revision: str | None = about("The revision that pods are brought to.")
    collision_count: Int | None = about("How often a name for a revision was taken.")
    conditions: list[Condition] | None = about("Further state.", key="type")


class StatefulSet(Object):
    """Keeps pods that have a name, an order and volumes of their own."""

    spec: StatefulSetSpec | None = about("What to keep.")
    status: StatefulSetStatus | None = about("What there is.")


class RollingUpdateDaemonSet(Structure):
    """How fast pods are replaced."""

    max_unavailable: IntOrString | None = about("Nodes that may be without a pod meanwhile.")
    max_surge: IntOrString | None = about("Nodes that may have two pods meanwhile.")


class DaemonSetUpdateStrategy(Structure):
    """How pods of an old template are replaced."""

    type: str | None = about("RollingUpdate (the default) or OnDelete.")
    rolling_update: RollingUpdateDaemonSet | None = about("How fast, for RollingUpdate.")


class DaemonSetSpec(Structure):
    """What a DaemonSet is asked to keep."""

    selector: LabelSelector | None = about("Its pods. It cannot be changed.")
    template: PodTemplateSpec | None = about("The pods to make.")
    update_strategy: DaemonSetUpdateStrategy | None = about("How pods of an old template are replaced.")
    min_ready_seconds: Int | None = about("Seconds a pod must be ready to count as available.")
    revision_history_limit: Int | None = about("Old templates to keep for undoing; 10 by default.")


class DaemonSetStatus(Structure):
    """What a DaemonSet has."""

    current_number_scheduled: Int | None = about("Nodes that should have a pod and have one.")
    number_misscheduled: Int | None = about("Nodes that have a pod and should have none.")
    desired_number_scheduled: Int | None = about("Nodes that should have a pod.")
    number_ready: Int | None = about("Nodes whose pod is ready.")
    observed_generation: Long | None = about("The generation this status is about.")
    updated_number_scheduled: Int | None = about("Nodes whose pod is of the present template.")
    number_available: Int | None = about("Nodes whose pod is available.")
    number_unavailable: Int | None = about("Nodes that should have an available pod and have none.")
    collision_count: Int | None = about("How often a name for a revision was taken.")
    conditions: list[Condition] | None = about("Further state.", key="type")


class DaemonSet(Object):
    """Keeps one pod on every node."""

    spec: DaemonSetSpec | None = about("What to keep.")
    status: DaemonSetStatus | None = about("What there is.")


class ControllerRevision(Object):
    """An old template of a StatefulSet or DaemonSet."""

    data: Json | None = about("The template. It cannot be changed.")
    revision: Long | None = about("Its number; the highest is the present one.")


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
