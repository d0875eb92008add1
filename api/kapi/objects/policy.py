"""Scaling, disruption, quotas and priorities: rules about other objects."""

from __future__ import annotations

from pydantic import Field

from kapi.objects.base import (
    Bool,
    Condition,
    Int,
    IntOrString,
    Json,
    LabelSelector,
    Long,
    Object,
    Quantity,
    Structure,
    Time,
    about,
)


class ScaleTarget(Structure):
    """The object that is scaled."""

    atomic = True

    kind: str | None = about("Kind of the object.")
    name: str | None = about("Name of the object.")
    api_version: str | None = about("API version of the object.")


class MetricTarget(Structure):
    """What a measure should be."""

    type: str | None = about("Utilization, Value or AverageValue.")
    value: Quantity | None = about("The measure itself.")
    average_value: Quantity | None = about("The measure for each pod.")
    average_utilization: Int | None = about("The measure for each pod, in percent of what was requested.")


class MetricValue(Structure):
    """What was measured."""

    value: Quantity | None = about("The measure itself.")
    average_value: Quantity | None = about("The measure for each pod.")
    average_utilization: Int | None = about("The measure for each pod, in percent of what was requested.")


class MetricIdentifier(Structure):
    """Names a measure that is not of a resource."""

    name: str | None = about("Name of the measure.")
    selector: LabelSelector | None = about("Which of several it is.")


class MetricSource(Structure):
    """One measure: of what, and what it should be."""

    name: str | None = about("Name of the resource: cpu or memory.")
    container: str | None = about("Name of the container.")
    described_object: ScaleTarget | None = about("The object that is measured.")
    metric: MetricIdentifier | None = about("Which measure it is.")
    target: MetricTarget | None = about("What it should be.")


class MetricSourceStatus(Structure):
    """One measure: of what, and what it was."""

    name: str | None = about("Name of the resource: cpu or memory.")
    container: str | None = about("Name of the container.")
    described_object: ScaleTarget | None = about("The object that is measured.")
    metric: MetricIdentifier | None = about("Which measure it is.")
    current: MetricValue | None = about("What it was.")


class MetricSpec(Structure):
    """What is measured, and what it should be."""

    type: str | None = about("Which of the other fields is given: Resource for `resource`.")
    resource: MetricSource | None = about("A resource of all containers.")
    container_resource: MetricSource | None = about("A resource of one container.")
    pods: MetricSource | None = about("A measure of each pod.")
    object: MetricSource | None = about("A measure of one other object.")
    external: MetricSource | None = about("A measure of something outside of the cluster.")


class MetricStatus(Structure):
    """What was measured."""

    type: str | None = about("Which of the other fields is given: Resource for `resource`.")
    resource: MetricSourceStatus | None = about("A resource of all containers.")
    container_resource: MetricSourceStatus | None = about("A resource of one container.")
    pods: MetricSourceStatus | None = about("A measure of each pod.")
    object: MetricSourceStatus | None = about("A measure of one other object.")
    external: MetricSourceStatus | None = about("A measure of something outside of the cluster.")


class HorizontalPodAutoscalerSpec(Structure):
    """Between which bounds, and by which measure."""

    scale_target_ref: ScaleTarget | None = about("The object that is scaled.")
    min_replicas: Int | None = about("The fewest pods; 1 by default.")
    max_replicas: Int | None = about("The most pods.")
    metrics: list[MetricSpec] | None = about("What is measured, and what it should be; by default 80% of the CPU.")
    behavior: Json | None = about("How fast.")


class HorizontalPodAutoscalerStatus(Structure):
    """What was measured and done."""

    observed_generation: Long | None = about("The generation this status is about.")
    last_scale_time: Time | None = about("When the number last changed.")
    current_replicas: Int | None = about("Pods there are.")
    desired_replicas: Int | None = about("Pods there should be.")
    current_metrics: list[MetricStatus] | None = about("What was measured.")
    conditions: list[Condition] | None = about("Whether it can measure and scale.", key="type")


class HorizontalPodAutoscaler(Object):
    """Gives a workload as many pods as it needs."""

    spec: HorizontalPodAutoscalerSpec | None = about("Between which bounds, and by which measure.")
    status: HorizontalPodAutoscalerStatus | None = about("What was measured and done.")


class HorizontalPodAutoscalerSpecV1(Structure):
    """Between which bounds, by the use of the CPU."""

    scale_target_ref: ScaleTarget | None = about("The object that is scaled.")
    min_replicas: Int | None = about("The fewest pods; 1 by default.")
    max_replicas: Int | None = about("The most pods.")
    target_cpu_utilization_percentage: Int | None = Field(
        default=None, alias="targetCPUUtilizationPercentage", description="How much of the requested CPU to use."
    )


class HorizontalPodAutoscalerStatusV1(Structure):
    """What was measured and done."""

    observed_generation: Long | None = about("The generation this status is about.")
    last_scale_time: Time | None = about("When the number last changed.")
    current_replicas: Int | None = about("Pods there are.")
    desired_replicas: Int | None = about("Pods there should be.")
    current_cpu_utilization_percentage: Int | None = Field(
        default=None, alias="currentCPUUtilizationPercentage", description="How much of the requested CPU is used."
    )


class HorizontalPodAutoscalerV1(Object):
    """Gives a workload as many pods as it needs, by the use of the CPU."""

    spec: HorizontalPodAutoscalerSpecV1 | None = about("Between which bounds, and by which use.")
    status: HorizontalPodAutoscalerStatusV1 | None = about("What was measured and done.")


class PodDisruptionBudgetSpec(Structure):
    """How many pods must stay."""

    min_available: IntOrString | None = about("Pods that must stay, as a number or percentage.")
    selector: LabelSelector | None = about("The pods.")
    max_unavailable: IntOrString | None = about("Pods that may be missing, as a number or percentage.")
    unhealthy_pod_eviction_policy: str | None = about("IfHealthyBudget or AlwaysAllow.")


class PodDisruptionBudgetStatus(Structure):
    """How many pods there are."""

    observed_generation: Long | None = about("The generation this status is about.")
    disrupted_pods: dict[str, Time] | None = about("Pods that are being evicted.")
    disruptions_allowed: Int | None = about("Pods that may be evicted now.")
    current_healthy: Int | None = about("Pods that are healthy.")
    desired_healthy: Int | None = about("Pods that must be healthy.")
    expected_pods: Int | None = about("Pods that are counted.")
    conditions: list[Condition] | None = about("Whether evictions are allowed.", key="type")


class PodDisruptionBudget(Object):
    """Bounds how many pods are evicted at one time."""

    spec: PodDisruptionBudgetSpec | None = about("How many must stay.")
    status: PodDisruptionBudgetStatus | None = about("How many there are.")


class ResourceQuotaSpec(Structure):
    """Bounds of a namespace."""

    hard: dict[str, Quantity] | None = about("The most of each resource.")
    scopes: list[str] | None = about("Which objects are counted.")
    scope_selector: Json | None = about("Which objects are counted.")


class ResourceQuotaStatus(Structure):
    """What of it is used."""

    hard: dict[str, Quantity] | None = about("The most of each resource.")
    used: dict[str, Quantity] | None = about("What is used.")


class ResourceQuota(Object):
    """Bounds what a namespace uses. It is stored and not enforced."""

    spec: ResourceQuotaSpec | None = about("The bounds.")
    status: ResourceQuotaStatus | None = about("What is used.")


class LimitRange(Object):
    """Bounds and defaults of the pods of a namespace. It is stored and not enforced."""

    spec: Json | None = about("The bounds.")


class PriorityClass(Object):
    """A name for a priority of pods."""

    value: Int | None = about("The priority; higher ones come first.")
    global_default: Bool | None = about("Whether pods without a class are of this one.")
    description: str | None = about("What the class is for.")
    preemption_policy: str | None = about("PreemptLowerPriority (the default) or Never.")
