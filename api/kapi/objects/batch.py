"""Work that ends: Job and CronJob."""

from __future__ import annotations

from kapi.objects.base import (
    Bool,
    Condition,
    Int,
    Json,
    LabelSelector,
    Long,
    Object,
    ObjectMeta,
    ObjectReference,
    Structure,
    Time,
    about,
)
from kapi.objects.pods import PodTemplateSpec


class JobSpec(Structure):
    """What a Job is asked to do."""

    parallelism: Int | None = about("Pods that may run at one time; 1 by default.")
    completions: Int | None = about("Pods that must succeed; 1 by default.")
    active_deadline_seconds: Long | None = about("Seconds after which the job is ended.")
    pod_failure_policy: Json | None = about("Which failures end the job.")
    success_policy: Json | None = about("When the job has succeeded.")
    backoff_limit: Int | None = about("Failures after which the job has failed; 6 by default.")
    backoff_limit_per_index: Int | None = about("Failures after which an index has failed.")
    max_failed_indexes: Int | None = about("Failed indexes after which the job has failed.")
    selector: LabelSelector | None = about("Its pods; made by the server unless manualSelector is set.")
    manual_selector: Bool | None = about("Whether the selector is yours.")
    template: PodTemplateSpec | None = about("The pods to make.")
    ttl_seconds_after_finished: Int | None = about("Seconds after which a finished job is deleted.")
    completion_mode: str | None = about("NonIndexed (the default) or Indexed.")
    suspend: Bool | None = about("Whether no pods are made.")
    pod_replacement_policy: str | None = about("TerminatingOrFailed or Failed: when a pod is replaced.")
    managed_by: str | None = about("The controller that runs the job.")
    scheduling: Json | None = about("How the pods are scheduled together.")


class JobStatus(Structure):
    """What a Job has done."""

    conditions: list[Condition] | None = about("Whether it is complete, failed or suspended.", key="type")
    start_time: Time | None = about("When it began.")
    completion_time: Time | None = about("When it succeeded.")
    active: Int | None = about("Pods that run.")
    succeeded: Int | None = about("Pods that succeeded.")
    failed: Int | None = about("Pods that failed.")
    terminating: Int | None = about("Pods that are going away.")
    ready: Int | None = about("Pods that are ready.")
    completed_indexes: str | None = about("Indexes that are done.")
    failed_indexes: str | None = about("Indexes that failed.")
    uncounted_terminated_pods: Json | None = about("Pods that ended and are not yet counted.")


class Job(Object):
    """Runs pods until enough of them have succeeded."""

    spec: JobSpec | None = about("What to do.")
    status: JobStatus | None = about("What is done.")


class JobTemplateSpec(Structure):
    """A Job to be made."""

    metadata: ObjectMeta | None = about("Labels and annotations of the job.")
    spec: JobSpec | None = about("What to do.")


class CronJobSpec(Structure):
    """What is done when."""

    schedule: str | None = about("When, as in cron: minute, hour, day, month, weekday.")
    time_zone: str | None = about("The time zone of the schedule.")
    starting_deadline_seconds: Long | None = about("Seconds a start may be late.")
    concurrency_policy: str | None = about("Allow (the default), Forbid or Replace.")
    suspend: Bool | None = about("Whether nothing is started.")
    job_template: JobTemplateSpec | None = about("The jobs to make.")
    successful_jobs_history_limit: Int | None = about("Succeeded jobs to keep; 3 by default.")
    failed_jobs_history_limit: Int | None = about("Failed jobs to keep; 1 by default.")


class CronJobStatus(Structure):
    """What was done."""

    active: list[ObjectReference] | None = about("Jobs that run.")
    last_schedule_time: Time | None = about("When a job was last started.")
    last_successful_time: Time | None = about("When a job last succeeded.")


class CronJob(Object):
    """Makes Jobs at certain times."""

    spec: CronJobSpec | None = about("What is done when.")
    status: CronJobStatus | None = about("What was done.")
