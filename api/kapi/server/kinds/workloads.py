"""What keeps pods: ReplicationController, ReplicaSet, Deployment. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import Deployment, ReplicaSet, ReplicationController
from kapi.resources import DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS
from kapi.selectors import SelectorError, from_object, matches_labels, to_text
from kapi.server.columns import AGE, NAME, Column, number
from kapi.server.fields import FieldError, invalid, required, unsupported
from kapi.server.kinds.kind import EVERYWHERE, Kind
from kapi.server.kinds.pods import default_spec, spec_errors

Json = dict[str, Any]


def _template(obj: Json) -> Json:
    template: Json = obj.setdefault("spec", {}).setdefault("template", {})
    template.setdefault("metadata", {})
    return template


def default_template(obj: Json) -> None:
    """Fill in the template of a workload, and one replica."""
    default_spec(_template(obj).setdefault("spec", {}))
    obj["spec"].setdefault("replicas", 1)


def _default_controller(obj: Json) -> None:
    default_template(obj)
    labels = _template(obj)["metadata"].get("labels")
    if labels:
        obj["spec"].setdefault("selector", labels)
        obj["metadata"].setdefault("labels", labels)


def _default_deployment(obj: Json) -> None:
    default_template(obj)
    spec = obj["spec"]
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _replicas_errors(spec: Json) -> list[FieldError]:
    errors = spec_errors(spec["template"]["spec"], "spec.template.spec")
    if spec.get("replicas", 0) < 0:
        errors.append(invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    policy = spec["template"]["spec"]["restartPolicy"]
    if policy != "Always" and policy in ("OnFailure", "Never"):
        errors.append(unsupported("spec.template.spec.restartPolicy", policy, ["Always"]))
    return errors


def _check_controller(new: Json, _: Json | None) -> list[FieldError]:
    spec = new["spec"]
    selector, labels = spec.get("selector") or {}, spec["template"]["metadata"].get("labels") or {}
    errors: list[FieldError] = []
    if not selector:
        errors.append(required("spec.selector"))
    elif not selector.items() <= labels.items():
        errors.append(_not_selected(labels))
    return errors + _replicas_errors(spec)


def _not_selected(labels: Json) -> FieldError:
    return invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def check_workload(new: Json, old: Json | None) -> list[FieldError]:
    """Say what is wrong with a workload that has a template and a selector."""
    spec = new["spec"]
    errors: list[FieldError] = []
    labels = spec["template"]["metadata"].get("labels") or {}
    if not spec.get("selector"):
        errors.append(required("spec.selector"))
    else:
        errors += selector_errors(spec["selector"], labels)
    if old is not None and old["spec"].get("selector") != spec.get("selector"):
        errors.append(invalid("spec.selector", spec.get("selector"), "field is immutable"))
    return errors + _replicas_errors(spec)


def selector_errors(selector: Json, labels: Json) -> list[FieldError]:
    """Say what is wrong with a selector and the labels of the template that it must fit."""
    try:
        terms = from_object(selector)
    except (SelectorError, KeyError) as error:
        return [invalid("spec.selector", selector, str(error))]
    if not terms:
        return [invalid("spec.selector", selector, "empty selector is invalid for deployment")]
    return [] if matches_labels(terms, labels) else [_not_selected(labels)]


def _check_deployment(new: Json, old: Json | None) -> list[FieldError]:
    errors = check_workload(new, old)
    kind = new["spec"]["strategy"]["type"]
    if kind not in ("Recreate", "RollingUpdate"):
        errors.append(unsupported("spec.strategy.type", kind, ["Recreate", "RollingUpdate"]))
    return errors


def selector_text(obj: Json) -> str:
    """Give the selector of a workload as text, for its scale and its table."""
    selector = obj["spec"].get("selector") or {}
    if obj["kind"] == "ReplicationController":
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return to_text(from_object(selector) or ())


def _containers(obj: Json) -> list[Json]:
    spec = obj["spec"]["jobTemplate"]["spec"] if obj["kind"] == "CronJob" else obj["spec"]
    return spec["template"]["spec"].get("containers") or []


def _names(obj: Json, _: datetime) -> str:
    return ",".join(container.get("name") or "" for container in _containers(obj))


def _images(obj: Json, _: datetime) -> str:
    return ",".join(container.get("image") or "" for container in _containers(obj))


def ready_of(obj: Json, _: datetime) -> str:
    """Show how many pods are ready, of those asked for."""
    return f"{(obj.get('status') or {}).get('readyReplicas') or 0}/{obj['spec'].get('replicas', 0)}"


WIDE = (
    Column("Containers", _names, wide=True),
    Column("Images", _images, wide=True),
    Column("Selector", lambda obj, _: selector_text(obj) or "<none>", wide=True),
)
_COUNTS = (
    Column("Desired", number("spec.replicas"), type="integer"),
    Column("Current", number("status.replicas"), type="integer"),
    Column("Ready", number("status.readyReplicas"), type="integer"),
)

REPLICATION_CONTROLLER = Kind(
    REPLICATION_CONTROLLERS,
    ReplicationController,
    default=_default_controller,
    validate=_check_controller,
    columns=(NAME, *_COUNTS, AGE, *WIDE),
    selectable=EVERYWHERE | {"status.replicas"},
    counted=("spec",),
)
REPLICA_SET = Kind(
    REPLICA_SETS,
    ReplicaSet,
    default=default_template,
    validate=check_workload,
    columns=(NAME, *_COUNTS, AGE, *WIDE),
    selectable=EVERYWHERE | {"status.replicas"},
    counted=("spec",),
)
DEPLOYMENT = Kind(
    DEPLOYMENTS,
    Deployment,
    default=_default_deployment,
    validate=_check_deployment,
    columns=(
        NAME,
        Column("Ready", ready_of, "Pods that are ready, of those asked for."),
        Column("Up-to-date", number("status.updatedReplicas"), type="string"),
        Column("Available", number("status.availableReplicas"), type="string"),
        AGE,
        *WIDE,
    ),
    counted=("spec",),
)
