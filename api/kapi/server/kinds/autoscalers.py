"""Autoscalers of both versions of the API: one kind of object, kept as version 2. Pure.

Version 1 has fields for the use of the CPU alone. What else there is it carries in annotations
(`kapi.server.kinds.measures`): who reads an object there and writes it back loses nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import policy
from kapi.resources import HORIZONTAL_POD_AUTOSCALERS, HORIZONTAL_POD_AUTOSCALERS_V1
from kapi.server.columns import AGE, NAME, Column, at, number
from kapi.server.fields import FieldError, invalid, required
from kapi.server.kinds import measures
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]

_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}


def _default_autoscaler(obj: Json) -> None:
    spec = obj["spec"] = obj.get("spec") or {}
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
    measured = _object(obj.get("status")).get("currentMetrics") or []
    return ", ".join(_metric(metric, measured, now) for metric in obj["spec"].get("metrics") or ()) or "<none>"


def _metric(metric: Json, measured: list[Json], now: datetime) -> str:
    """Show a measure of a resource as `cpu: 12%/80%`, any other by its type. Nobody has checked what is in them."""
    name, wanted = _RESOURCE(metric, now), _WANTED(metric, now)
    if name is None or wanted is None:
        return str(_TYPE(metric, now))
    found = next((_MEASURED(one, now) for one in measured if _RESOURCE(one, now) == name), None)
    return f"{name}: {'<unknown>' if found is None else f'{found}%'}/{wanted}%"


_TYPE = at("type", "<unknown>")
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


_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
_MEASURES, _CONDITIONS = f"{_PREFIX}current-metrics", f"{_PREFIX}conditions"
_CARRIED = frozenset({_METRICS, _BEHAVIOR, _MEASURES, _CONDITIONS})
_TARGET, _CURRENT = "targetCPUUtilizationPercentage", "currentCPUUtilizationPercentage"
_ONLY_V2 = frozenset({"metrics", "behavior", "currentMetrics", "conditions"})


def _to_v1(obj: Json) -> Json:
    """Give an autoscaler of version 2 as one of version 1. It may have been kept before anyone checked its measures."""
    spec, status = _object(obj.get("spec")), _object(obj.get("status"))
    wanted, others = _cpu_and_others(spec.get("metrics"), "target")
    current, _ = _cpu_and_others(status.get("currentMetrics"), "current")
    carried = {
        _METRICS: measures.written(others, "target"),
        _BEHAVIOR: measures.behavior_written(spec["behavior"]) if spec.get("behavior") else "",
        _MEASURES: measures.written(_list(status.get("currentMetrics")), "current"),
        _CONDITIONS: measures.text_of(status["conditions"]) if status.get("conditions") else "",
    }
    found = _annotated(obj, {name: text for name, text in carried.items() if text})
    if "spec" in obj:
        found["spec"] = _plain(spec) | ({_TARGET: wanted} if wanted is not None else {})
    if "status" in obj:
        found["status"] = _plain(status) | ({_CURRENT: current} if current is not None else {})
    return found


def _from_v1(obj: Json, live: Json) -> Json:
    """Give an autoscaler of version 1 as one of version 2. What it shows as `live` does stays as it is there."""
    carried, before = _annotations(obj), _to_v1(live)
    same = _annotations(before)
    found = _annotated(obj, {})
    if isinstance(spec := obj.get("spec"), dict):
        known, shown = _object(live.get("spec")), _object(before.get("spec"))
        found["spec"] = _plain(spec, _TARGET) | _given(
            metrics=known.get("metrics")
            if (spec.get(_TARGET), carried.get(_METRICS)) == (shown.get(_TARGET), same.get(_METRICS))
            else _together(measures.read(carried.get(_METRICS), "target"), "target", spec.get(_TARGET)),
            behavior=known.get("behavior")
            if carried.get(_BEHAVIOR) == same.get(_BEHAVIOR)
            else measures.behavior_read(carried.get(_BEHAVIOR)),
        )
    if isinstance(status := obj.get("status"), dict):
        known, shown = _object(live.get("status")), _object(before.get("status"))
        found["status"] = _plain(status, _CURRENT) | _given(
            currentMetrics=known.get("currentMetrics")
            if (status.get(_CURRENT), carried.get(_MEASURES)) == (shown.get(_CURRENT), same.get(_MEASURES))
            else _together(measures.read(carried.get(_MEASURES), "current"), "current", status.get(_CURRENT)),
            conditions=known.get("conditions")
            if carried.get(_CONDITIONS) == same.get(_CONDITIONS)
            else measures.parsed(carried.get(_CONDITIONS)),
        )
    return found


def _completed(config: Json, live: Json) -> Json:
    """Give an applied configuration with the measures of the live object, where it sets the one that it can name."""
    measured = _annotations(live).get(_METRICS)
    if measured is None or _METRICS in _annotations(config) or _TARGET not in _object(config.get("spec")):
        return config
    annotations = {**_annotations(config), _METRICS: measured}
    return {**config, "metadata": {**config["metadata"], "annotations": annotations}}


def _annotations(obj: Json) -> Json:
    return _object(_object(obj.get("metadata")).get("annotations"))


def _annotated(obj: Json, carried: Json) -> Json:
    """Give an object with what is carried in its annotations, and not what was there of that."""
    had = _annotations(obj)
    annotations = {name: value for name, value in had.items() if name not in _CARRIED} | carried
    if annotations == had:
        return {**obj}
    meta = {name: value for name, value in obj["metadata"].items() if name != "annotations"}
    return {**obj, "metadata": meta | ({"annotations": annotations} if annotations else {})}


def _cpu_and_others(metrics: Any, end: str) -> tuple[Any, list[Any]]:
    """Give the use of the CPU that version 1 has a field for, and the other measures."""
    others = _list(metrics)
    for metric in others:
        percent = measures.found(metric, ("resource", end, "averageUtilization"))
        if percent is not None and measures.found(metric, ("resource", "name")) == "cpu":
            return percent, [other for other in others if other is not metric]
    return None, others


def _together(others: list[Json], end: str, percent: Any) -> list[Json]:
    """Give measures together with a use of the CPU: in the place where there is one, or as the last."""
    kind = {"type": "Utilization"} if end == "target" else {}
    if percent is None:
        return others
    for metric in others:
        if end == "current" and measures.found(metric, ("resource", "name")) == "cpu":
            metric["resource"].setdefault(end, {})["averageUtilization"] = percent
            return others
    return [*others, {"type": "Resource", "resource": {"name": "cpu", end: {**kind, "averageUtilization": percent}}}]


def _plain(part: Json, but: str = "") -> Json:
    """Give the fields that both versions have."""
    return {name: value for name, value in part.items() if name not in _ONLY_V2 and name != but}


def _given(**parts: Any) -> Json:
    return {name: value for name, value in parts.items() if value}


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


AUTOSCALER_V1 = Kind(
    HORIZONTAL_POD_AUTOSCALERS_V1,
    policy.HorizontalPodAutoscalerV1,
    stored_as=HORIZONTAL_POD_AUTOSCALERS,
    inward=_from_v1,
    outward=_to_v1,
    completed=_completed,
)
