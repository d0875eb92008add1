"""A Job as a small frozen value. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kapi.network import Reference
from kapi.resources import JOBS
from kapi.selectors import from_object
from netnslab.workloads.values import Object, Pod, Selector, identity, or_else

Json = dict[str, Any]

TRACKING = "batch.kubernetes.io/job-tracking"  # the finalizer of a pod that is not yet counted
INDEX = "batch.kubernetes.io/job-completion-index"
CONTROLLER = "kubernetes.io/job-controller"
_NOT_ACTED_ON = ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes")


@dataclass(frozen=True, slots=True)
class Job(Object):
    """A Job. Times in seconds; `completions` is None where one success is enough and pods agree on it themselves."""

    selector: Selector | None = None
    template: Json = field(default_factory=dict)
    parallelism: int = 1
    completions: int | None = 1
    indexed: bool = False
    backoff_limit: int = 6
    deadline: int | None = None
    ttl: int | None = None
    suspended: bool = False
    replaces_when_gone: bool = False  # a pod is replaced when it has ended, not as soon as it is about to
    managed_by: str = CONTROLLER
    not_acted_on: tuple[str, ...] = ()  # fields that are set, and that nobody here heeds
    status: Json = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        """What an Event about this Job, and an owner reference to it, points at."""
        return Reference(JOBS.kind, self.meta.namespace, self.meta.name, self.meta.uid, JOBS.api_version)

    @property
    def started(self) -> str:
        """When it began; "" before."""
        return self.status.get("startTime") or ""

    @property
    def restarts_in_place(self) -> bool:
        """Whether a container that fails is started again in its pod."""
        return (self.template.get("spec") or {}).get("restartPolicy") == "OnFailure"

    @property
    def completed(self) -> frozenset[int]:
        """The indexes that are known to be done."""
        return frozenset(_indexes(self.status.get("completedIndexes") or "", self.completions or 0))

    def asks_for(self, pod: Pod) -> bool:
        """Whether the end of a pod counts: where there are indexes, it has to work on one of them."""
        return not self.indexed or index_of(pod) in range(self.completions or 0)

    def condition(self, *kinds: str) -> Json | None:
        """Give the condition of one of these types that holds."""
        conditions = self.status.get("conditions") or ()
        return next((c for c in conditions if c.get("type") in kinds and c.get("status") == "True"), None)

    def count(self, name: str) -> int:
        """Give a number of the status; absent is 0."""
        return int(self.status.get(name) or 0)

    def uncounted(self, name: str) -> tuple[str, ...]:
        """Give the uids of pods that have `succeeded` or `failed` and are not in that number yet."""
        return tuple((self.status.get("uncountedTerminatedPods") or {}).get(name) or ())


def job(obj: Json) -> Job:
    """Read a batch/v1 Job."""
    spec = obj.get("spec") or {}
    return Job(
        identity(obj),
        selector=from_object(spec.get("selector")),
        template=spec.get("template") or {},
        parallelism=or_else(spec.get("parallelism"), 1),
        completions=spec.get("completions"),
        indexed=spec.get("completionMode") == "Indexed",
        backoff_limit=or_else(spec.get("backoffLimit"), 6),
        deadline=spec.get("activeDeadlineSeconds"),
        ttl=spec.get("ttlSecondsAfterFinished"),
        suspended=bool(spec.get("suspend")),
        replaces_when_gone=spec.get("podReplacementPolicy") == "Failed",
        managed_by=spec.get("managedBy") or CONTROLLER,
        not_acted_on=tuple(name for name in _NOT_ACTED_ON if spec.get(name) is not None),
        status=obj.get("status") or {},
    )


def index_of(pod: Pod) -> int | None:
    """The index that a pod works on."""
    text = pod.meta.annotations.get(INDEX, "")
    return int(text) if text.isdecimal() else None


def shown(indexes: Iterable[int]) -> str:
    """Write indexes as a status has them: `0,1,3-5`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def _indexes(text: str, most: int) -> Iterator[int]:
    """Read indexes, those below a number."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), min(int(last or first) + 1, most))
