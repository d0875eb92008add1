"""StatefulSets, DaemonSets, and the revisions they keep. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from kapi.objects import ControllerRevision, DaemonSet, StatefulSet
from kapi.resources import CONTROLLER_REVISIONS, DAEMON_SETS, STATEFUL_SETS
from kapi.server.columns import AGE, NAME, Column, at, number, pairs
from kapi.server.fields import FieldError, forbidden, invalid, unsupported
from kapi.server.kinds import shares
from kapi.server.kinds.kind import Kind
from kapi.server.kinds.storage import default_claim
from kapi.server.kinds.workloads import WIDE, check_workload, default_template, ready_of

Json = dict[str, Any]

_STRATEGIES = ("OnDelete", "RollingUpdate")
_CHANGEABLE = (
    *("replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy"),
    *("minReadySeconds", "revisionHistoryLimit"),
)


def _default_stateful_set(obj: Json) -> None:
    default_template(obj)
    spec = obj["spec"]
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for when in ("whenDeleted", "whenScaled"):
        retention.setdefault(when, "Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.update({"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
        default_claim(claim)


def _check_stateful_set(new: Json, old: Json | None) -> list[FieldError]:
    spec = new["spec"]
    errors = check_workload(_with_claimed_volumes(new), old) + _strategy_errors(spec, shares.stateful_set_errors)
    policy = spec["podManagementPolicy"]
    if policy not in ("OrderedReady", "Parallel"):
        errors.append(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    errors += _number_errors(spec)
    if old is not None and _fixed(spec) != _fixed(old["spec"]):
        text = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        errors.append(forbidden("spec", text))
    return errors


def _number_errors(spec: Json) -> list[FieldError]:
    rolling = spec["updateStrategy"].get("rollingUpdate") or {}
    counted = {
        "spec.ordinals.start": (spec.get("ordinals") or {}).get("start") or 0,
        "spec.updateStrategy.rollingUpdate.partition": rolling.get("partition") or 0,
    }
    text = "must be greater than or equal to 0"
    return [invalid(path, value, text) for path, value in counted.items() if value < 0]


def _with_claimed_volumes(obj: Json) -> Json:
    """Give a set whose template has the volumes that each pod claims for itself: containers may mount these."""
    template = obj["spec"]["template"]
    volumes = template["spec"].get("volumes") or []
    named = {volume.get("name") for volume in volumes}
    claims = {(claim.get("metadata") or {}).get("name") for claim in obj["spec"].get("volumeClaimTemplates") or ()}
    pod = {**template["spec"], "volumes": [*volumes, *({"name": name} for name in claims - named if name)]}
    return {**obj, "spec": {**obj["spec"], "template": {**template, "spec": pod}}}


def _fixed(spec: Json) -> Json:
    return {part: value for part, value in spec.items() if part not in _CHANGEABLE}


def _strategy_errors(spec: Json, rolling_errors: Callable[[Json, str], list[FieldError]]) -> list[FieldError]:
    strategy = spec["updateStrategy"]
    kind = strategy["type"]
    if kind == "RollingUpdate":
        return rolling_errors(strategy.get("rollingUpdate") or {}, "spec.updateStrategy.rollingUpdate")
    return [] if kind in _STRATEGIES else [unsupported("spec.updateStrategy.type", kind, _STRATEGIES)]


STATEFUL_SET = Kind(
    STATEFUL_SETS,
    StatefulSet,
    default=_default_stateful_set,
    validate=_check_stateful_set,
    columns=(NAME, Column("Ready", ready_of), AGE, *WIDE[:2]),
    counted=("spec",),
)


def _default_daemon_set(obj: Json) -> None:
    default_template(obj)
    spec = obj["spec"]
    del spec["replicas"]
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)


def _check_daemon_set(new: Json, old: Json | None) -> list[FieldError]:
    return check_workload(new, old) + _strategy_errors(new["spec"], shares.daemon_set_errors)


def _node_selector(obj: Json, _: datetime) -> str:
    return pairs(obj["spec"]["template"]["spec"].get("nodeSelector"))


DAEMON_SET = Kind(
    DAEMON_SETS,
    DaemonSet,
    default=_default_daemon_set,
    validate=_check_daemon_set,
    columns=(
        NAME,
        Column("Desired", number("status.desiredNumberScheduled"), type="integer"),
        Column("Current", number("status.currentNumberScheduled"), type="integer"),
        Column("Ready", number("status.numberReady"), type="integer"),
        Column("Up-to-date", number("status.updatedNumberScheduled"), type="integer"),
        Column("Available", number("status.numberAvailable"), type="integer"),
        Column("Node Selector", _node_selector),
        AGE,
        *WIDE,
    ),
    counted=("spec",),
)


def _owner(obj: Json, _: datetime) -> str:
    owners = obj["metadata"].get("ownerReferences") or ()
    found = next((owner for owner in owners if owner.get("controller")), None)
    if found is None:
        return "<none>"
    group = found["apiVersion"].rpartition("/")[0]
    return f"{found['kind'].lower()}{'.' if group else ''}{group}/{found['name']}"


def _check_revision(new: Json, old: Json | None) -> list[FieldError]:
    if old is not None and new.get("data") != old.get("data"):
        return [invalid("data", new.get("data"), "field is immutable")]
    return []


CONTROLLER_REVISION = Kind(
    CONTROLLER_REVISIONS,
    ControllerRevision,
    validate=_check_revision,
    columns=(NAME, Column("Controller", _owner), Column("Revision", at("revision", 0)), AGE),
)
