"""When a pod that is ready is available: when it has been so for `minReadySeconds`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from netnslab.workloads.clock import seconds_since
from netnslab.workloads.values import Pod

_SOONEST = 0.05  # seconds until one looks again: moments are written to the second


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Whether a pod has been ready for long enough."""
    return pod.ready and (not min_ready_seconds or seconds_since(pod.ready_since, now) >= min_ready_seconds)


def next_available(pods: Iterable[Pod], min_ready_seconds: int, now: datetime) -> float | None:
    """In how many seconds the first of those that are ready, and not yet available, will be; None where none is."""
    waiting = (pod for pod in pods if pod.ready and not is_available(pod, min_ready_seconds, now))
    waits = [min_ready_seconds - seconds_since(pod.ready_since, now) for pod in waiting]
    return max(min(waits), _SOONEST) if waits else None
