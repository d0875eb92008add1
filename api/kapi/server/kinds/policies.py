"""Disruption, quotas, priorities and network policies: rules about other objects. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import NetworkPolicy, policy
from kapi.resources import (
    LIMIT_RANGES,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    RESOURCE_QUOTAS,
)
from kapi.selectors import SelectorError, from_object, to_text
from kapi.server.columns import AGE, NAME, Column, at, number
from kapi.server.fields import FieldError, invalid
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]


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
