"""Jobs and CronJobs. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import CronJob, Job
from kapi.resources import CRON_JOBS, JOBS
from kapi.server.columns import AGE, NAME, Column, at, duration, parse_time, since
from kapi.server.fields import FieldError, invalid, required, unsupported
from kapi.server.kinds.kind import EVERYWHERE, Kind
from kapi.server.kinds.pods import default_spec, spec_errors
from kapi.server.kinds.workloads import WIDE, selector_errors

Json = dict[str, Any]

_UID_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid")
_NAME_LABELS = ("job-name", "batch.kubernetes.io/job-name")


def _default_job_spec(spec: Json) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_spec(template.setdefault("spec", {}))
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")


def _default_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _default_job_spec(spec)
    uid = obj["metadata"].get("uid")
    if not uid or spec.get("manualSelector") or "selector" in spec:
        return
    spec["selector"] = {"matchLabels": {_UID_LABELS[1]: uid}}
    labels = spec["template"]["metadata"].setdefault("labels", {})
    labels.update(dict.fromkeys(_UID_LABELS, uid) | dict.fromkeys(_NAME_LABELS, obj["metadata"].get("name") or ""))


def _keep_selector(new: Json, old: Json) -> None:
    spec, before = new.setdefault("spec", {}), old["spec"]
    if "selector" in spec or "selector" not in before:
        return
    spec["selector"] = before["selector"]
    given = before["template"]["metadata"].get("labels") or {}
    meta = spec.setdefault("template", {}).setdefault("metadata", {})
    kept = {name: given[name] for name in (*_UID_LABELS, *_NAME_LABELS) if name in given}
    meta["labels"] = kept | (meta.get("labels") or {})


def _job_errors(spec: Json, path: str) -> list[FieldError]:
    pod = spec["template"]["spec"]
    errors = spec_errors(pod, f"{path}.template.spec")
    if pod["restartPolicy"] == "Always":
        errors.append(unsupported(f"{path}.template.spec.restartPolicy", "Always", ("OnFailure", "Never")))
    for part in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if spec.get(part, 0) < 0:
            errors.append(invalid(f"{path}.{part}", spec[part], "must be greater than or equal to 0"))
    if spec["podReplacementPolicy"] not in (replacing := _replacement_policies(spec)):
        errors.append(unsupported(f"{path}.podReplacementPolicy", spec["podReplacementPolicy"], replacing))
    if spec["completionMode"] not in ("Indexed", "NonIndexed"):
        errors.append(unsupported(f"{path}.completionMode", spec["completionMode"], ("Indexed", "NonIndexed")))
    return errors


def _replacement_policies(spec: Json) -> tuple[str, ...]:
    return ("Failed",) if "podFailurePolicy" in spec else ("Failed", "TerminatingOrFailed")


def _completions_errors(spec: Json, before: Json) -> list[FieldError]:
    """Say whether completions may change so: those of indexes may, and as many pods at a time with them."""
    new = spec.get("completions")
    if new == before.get("completions") or (spec["completionMode"] == "Indexed" and new in (None, spec["parallelism"])):
        return []
    tandem = "can only be modified in tandem with spec.parallelism"
    return [invalid("spec.completions", new, tandem if spec["completionMode"] == "Indexed" else "field is immutable")]


def _check_job(new: Json, old: Json | None) -> list[FieldError]:
    spec = new["spec"]
    errors = _job_errors(spec, "spec")
    if not spec.get("selector"):
        errors.append(required("spec.selector"))
    else:
        errors += selector_errors(spec["selector"], spec["template"]["metadata"].get("labels") or {})
    if spec["completionMode"] == "Indexed" and spec.get("completions") is None:
        errors.append(required("spec.completions", "when completion mode is Indexed"))
    if old is not None:
        before = old["spec"]
        fixed = [part for part in ("selector", "completionMode") if before.get(part) != spec.get(part)]
        if before["template"] != spec["template"] and not before.get("suspend"):
            fixed.append("template")
        errors += [invalid(f"spec.{part}", spec.get(part), "field is immutable") for part in fixed]
        errors += _completions_errors(spec, before)
    return errors


def _state(obj: Json, _: datetime) -> str:
    status = obj.get("status") or {}
    true = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    for kind, word in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if kind in true:
            return word
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        if kind in true:
            return kind
    return "Terminating" if "deletionTimestamp" in obj["metadata"] else "Running"


def _completions(obj: Json, _: datetime) -> str:
    spec, done = obj["spec"], (obj.get("status") or {}).get("succeeded") or 0
    if "completions" in spec:
        return f"{done}/{spec['completions']}"
    return f"{done}/1 of {spec['parallelism']}" if spec.get("parallelism", 1) > 1 else f"{done}/1"


def _took(obj: Json, now: datetime) -> str:
    status = obj.get("status") or {}
    start, end = parse_time(status.get("startTime") or ""), parse_time(status.get("completionTime") or "")
    return duration(max(0, int(((end or now) - start).total_seconds()))) if start else ""


JOB = Kind(
    JOBS,
    Job,
    adopt=_keep_selector,
    default=_default_job,
    validate=_check_job,
    columns=(
        NAME,
        Column("Status", _state),
        Column("Completions", _completions),
        Column("Duration", _took),
        AGE,
        *WIDE,
    ),
    selectable=EVERYWHERE | {"status.successful"},
    counted=("spec",),
)


def _default_cron_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    default_spec(template.setdefault("spec", {}).setdefault("template", {}).setdefault("spec", {}))


def _check_cron_job(new: Json, _: Json | None) -> list[FieldError]:
    spec = new["spec"]
    schedule, policy = spec.get("schedule") or "", spec["concurrencyPolicy"]
    errors: list[FieldError] = []
    if not schedule:
        errors.append(required("spec.schedule"))
    elif not schedule.startswith("@") and len(schedule.split()) != 5:
        errors.append(invalid("spec.schedule", schedule, "expected exactly 5 fields"))
    if policy not in ("Allow", "Forbid", "Replace"):
        errors.append(unsupported("spec.concurrencyPolicy", policy, ("Allow", "Forbid", "Replace")))
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    return errors + spec_errors(pod, "spec.jobTemplate.spec.template.spec")


def _active(obj: Json, _: datetime) -> int:
    return len((obj.get("status") or {}).get("active") or ())


CRON_JOB = Kind(
    CRON_JOBS,
    CronJob,
    default=_default_cron_job,
    validate=_check_cron_job,
    columns=(
        NAME,
        Column("Schedule", at("spec.schedule")),
        Column("Timezone", at("spec.timeZone")),
        Column("Suspend", at("spec.suspend", False), type="boolean"),
        Column("Active", _active, type="integer"),
        Column("Last Schedule", since("status.lastScheduleTime")),
        AGE,
        *WIDE[:2],
    ),
    counted=("spec",),
)
