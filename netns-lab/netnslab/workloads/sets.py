"""StatefulSets and DaemonSets as small frozen values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kapi.network import Reference
from kapi.resources import DAEMON_SETS, STATEFUL_SETS, Resource
from kapi.selectors import from_object
from netnslab.workloads.values import Object, Selector, identity, or_else

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Revised(Object):
    """What has a template whose revisions are kept: a StatefulSet or a DaemonSet."""

    resource: Resource = STATEFUL_SETS
    selector: Selector | None = None
    template: Json = field(default_factory=dict)
    min_ready_seconds: int = 0
    strategy: str = "RollingUpdate"
    history_limit: int = 10
    status: Json = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """What an Event about this object, and an owner reference to it, points at."""
        resource = self.resource
        return Reference(resource.kind, self.meta.namespace, self.meta.name, self.meta.uid, resource.api_version)

    @property
    def collisions(self) -> int:
        """How often the name for a revision was taken."""
        return int(self.status.get("collisionCount") or 0)


@dataclass(frozen=True, slots=True)
class StatefulSet(Revised):
    """A StatefulSet. `unavailable` is as written: a number or a percentage, or None where nothing is."""

    replicas: int = 1
    start: int = 0  # the number of the first pod
    ordered: bool = True
    service: str = ""
    claims: tuple[Json, ...] = ()  # templates of PersistentVolumeClaims
    match_labels: Mapping[str, str] = field(default_factory=dict)
    partition: int = 0
    unavailable: int | str | None = None

    @property
    def numbers(self) -> range:
        """The numbers that pods of it should have."""
        return range(self.start, self.start + self.replicas)


@dataclass(frozen=True, slots=True)
class DaemonSet(Revised):
    """A DaemonSet. `unavailable` and `surge` are as written: numbers or percentages."""

    unavailable: int | str = 1
    surge: int | str = 0


def stateful_set(obj: Json) -> StatefulSet:
    """Read an apps/v1 StatefulSet."""
    spec = obj.get("spec") or {}
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    return StatefulSet(
        **_revised(obj, STATEFUL_SETS),
        replicas=or_else(spec.get("replicas"), 1),
        start=(spec.get("ordinals") or {}).get("start") or 0,
        ordered=spec.get("podManagementPolicy") != "Parallel",
        service=spec.get("serviceName") or "",
        claims=tuple(spec.get("volumeClaimTemplates") or ()),
        match_labels=(spec.get("selector") or {}).get("matchLabels") or {},
        partition=rolling.get("partition") or 0,
        unavailable=rolling.get("maxUnavailable"),
    )


def daemon_set(obj: Json) -> DaemonSet:
    """Read an apps/v1 DaemonSet."""
    spec = obj.get("spec") or {}
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    return DaemonSet(
        **_revised(obj, DAEMON_SETS),
        unavailable=or_else(rolling.get("maxUnavailable"), 1),
        surge=or_else(rolling.get("maxSurge"), 0),
    )


def _revised(obj: Json, resource: Resource) -> Json:
    """What both have, by the names of the fields."""
    spec = obj.get("spec") or {}
    return {
        "meta": identity(obj),
        "resource": resource,
        "selector": from_object(spec.get("selector")),
        "template": spec.get("template") or {},
        "min_ready_seconds": spec.get("minReadySeconds") or 0,
        "strategy": (spec.get("updateStrategy") or {}).get("type") or "RollingUpdate",
        "history_limit": or_else(spec.get("revisionHistoryLimit"), 10),
        "status": obj.get("status") or {},
    }
