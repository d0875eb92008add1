"""Scaling, disruption, quotas, priorities and network policies: rules about other objects. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import NetworkPolicy, policy
from kapi.resources import (
    HORIZONTAL_POD_AUTOSCALERS,
    HORIZONTAL_POD_AUTOSCALERS_V1,
    LIMIT_RANGES,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
)
from kapi.selectors import SelectorError, from_object, to_text
from kapi.server.columns import AGE, NAME, Column, at, number
from kapi.server.fields import FieldError, invalid, required
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]

_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def _default_autoscaler(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [_CPU]


def _check_autoscaler(new: Json, _: Json | None) -> list[FieldError]:
    spec = new["spec"]
    least, most = spec["minReplicas"], spec.get("maxReplicas") or 0
    target = spec.get("scaleTargetRef") or {}
    errors = [required(f"spec.scaleTargetRef.{part}") for part in ("kind", "name") if not target.get(part)]
    if least < 1:
        errors.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    elif most < least:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    return errors


def _target(obj: Json, _: datetime) -> str:
    target = obj["spec"].get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _targets(obj: Json, now: datetime) -> str:
    measured = (obj.get("status") or {}).get("currentMetrics") or []
    return ", ".join(_metric(metric, measured, now) for metric in obj["spec"].get("metrics") or ()) or "<none>"


def _metric(metric: Json, measured: list[Json], now: datetime) -> str:
    """Show a measure of a resource as `cpu: 12%/80%`, any other by its type. Nobody has checked what is in them."""
    name, wanted = _RESOURCE(metric, now), _WANTED(metric, now)
    if name is None or wanted is None:
        return str(metric.get("type") or "<unknown>")
    found = next((_MEASURED(one, now) for one in measured if _RESOURCE(one, now) == name), None)
    return f"{name}: {'<unknown>' if found is None else f'{found}%'}/{wanted}%"


_RESOURCE = at("resource.name", None)
_WANTED = at("resource.target.averageUtilization", None)
_MEASURED = at("resource.current.averageUtilization", None)


AUTOSCALER = Kind(
    HORIZONTAL_POD_AUTOSCALERS,
    policy.HorizontalPodAutoscaler,
    default=_default_autoscaler,
    validate=_check_autoscaler,
    columns=(
        NAME,
        Column("Reference", _target),
        Column("Targets", _targets),
        Column("MinPods", at("spec.minReplicas", "<unset>")),
        Column("MaxPods", number("spec.maxReplicas"), type="integer"),
        Column("Replicas", number("status.currentReplicas"), type="integer"),
        AGE,
    ),
)


def _from_v1(obj: Json) -> Json:
    """Give an autoscaler of version 1, or a part of one, as one of version 2: the use of the CPU is a measure there."""
    found, spec, status = {**obj}, obj.get("spec"), obj.get("status")
    if isinstance(spec, dict) and _TARGET in spec:
        rest = {name: value for name, value in spec.items() if name != _TARGET}
        found["spec"] = rest | {"metrics": None if spec[_TARGET] is None else [_cpu("target", spec[_TARGET])]}
    if isinstance(status, dict) and _CURRENT in status:
        rest = {name: value for name, value in status.items() if name != _CURRENT}
        found["status"] = rest | {"currentMetrics": [_cpu("current", status[_CURRENT])]}
    return found


def _to_v1(obj: Json) -> Json:
    """Give an autoscaler of version 2 as one of version 1, which knows no measure but the use of the CPU."""
    found = {**obj}
    if "spec" in obj:
        spec = {name: value for name, value in obj["spec"].items() if name not in ("metrics", "behavior")}
        used = _used(obj["spec"].get("metrics"), "target")
        found["spec"] = spec | ({_TARGET: used} if used is not None else {})
    if "status" in obj:
        kept = {name: value for name, value in obj["status"].items() if name not in ("currentMetrics", "conditions")}
        used = _used(obj["status"].get("currentMetrics"), "current")
        found["status"] = kept | ({_CURRENT: used} if used is not None else {})
    return found


def _cpu(part: str, percent: Any) -> Json:
    kind = {"type": "Utilization"} if part == "target" else {}
    return {"type": "Resource", "resource": {"name": "cpu", part: kind | {"averageUtilization": percent}}}


def _used(metrics: list[Json] | None, part: str) -> Any:
    resources = (metric.get("resource") or {} for metric in metrics or ())
    found = ((one.get(part) or {}).get("averageUtilization") for one in resources if one.get("name") == "cpu")
    return next((percent for percent in found if percent is not None), None)


_TARGET, _CURRENT = "targetCPUUtilizationPercentage", "currentCPUUtilizationPercentage"
AUTOSCALER_V1 = Kind(
    HORIZONTAL_POD_AUTOSCALERS_V1,
    policy.HorizontalPodAutoscalerV1,
    stored_as=HORIZONTAL_POD_AUTOSCALERS,
    inward=_from_v1,
    outward=_to_v1,
)


def _check_budget(new: Json, _: Json | None) -> list[FieldError]:
    spec = new.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        return [invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")]
    return _selector_errors(spec.get("selector"), "spec.selector")


def _selector_errors(selector: Json | None, path: str) -> list[FieldError]:
    try:
        from_object(selector)
    except (SelectorError, KeyError) as error:
        return [invalid(path, selector, str(error))]
    return []


BUDGET = Kind(
    POD_DISRUPTION_BUDGETS,
    policy.PodDisruptionBudget,
    validate=_check_budget,
    columns=(
        NAME,
        Column("Min Available", at("spec.minAvailable", "N/A")),
        Column("Max Unavailable", at("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", number("status.disruptionsAllowed"), type="integer"),
        AGE,
    ),
    counted=("spec",),
    update_names_version=True,
)


def _default_network_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _check_network_policy(new: Json, _: Json | None) -> list[FieldError]:
    return _selector_errors(new["spec"]["podSelector"], "spec.podSelector")


def _pod_selector(obj: Json, _: datetime) -> str:
    return to_text(from_object(obj["spec"].get("podSelector")) or ()) or "<none>"


NETWORK_POLICY = Kind(
    NETWORK_POLICIES,
    NetworkPolicy,
    default=_default_network_policy,
    validate=_check_network_policy,
    columns=(NAME, Column("Pod-Selector", _pod_selector), AGE),
    counted=("spec",),
)


def _usage(prefix: str, *, limits: bool) -> Any:
    def cell(obj: Json, _: datetime) -> str:
        status = obj.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        names = sorted(name for name in hard if name.startswith(prefix) is limits)
        return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)

    return cell


QUOTA = Kind(
    RESOURCE_QUOTAS,
    policy.ResourceQuota,
    columns=(
        NAME,
        Column("Request", _usage("limits", limits=False)),
        Column("Limit", _usage("limits", limits=True)),
        AGE,
    ),
)
LIMIT_RANGE = Kind(LIMIT_RANGES, policy.LimitRange)


def _default_priority(obj: Json) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


PRIORITY_CLASS = Kind(
    PRIORITY_CLASSES,
    policy.PriorityClass,
    default=_default_priority,
    columns=(
        NAME,
        Column("Value", number("value"), type="integer"),
        Column("Global-Default", at("globalDefault", False), type="boolean"),
        AGE,
        Column("PreemptionPolicy", at("preemptionPolicy")),
    ),
)
