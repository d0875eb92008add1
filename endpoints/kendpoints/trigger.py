"""Which change is being written: the moment behind `endpoints.kubernetes.io/last-change-trigger-time`. Pure.

The annotation lets a service proxy measure the network programming latency (SIG scalability's SLI of that name): from
the moment a pod turned ready, or its Service was created, to the moment its rules are in the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kapi.network import Pod, Service


@dataclass(frozen=True, slots=True)
class Seen:
    """The moments already attributed to an earlier write of one Service, as RFC 3339 text (which sorts by time)."""

    service: str = ""
    pods: Mapping[str, str] = field(default_factory=dict)


def attribute(seen: Seen | None, service: Service, pods: Iterable[Pod]) -> tuple[Seen, str]:
    """Find the earliest moment not yet attributed, "" where there is none, and what is to be remembered.

    A Service met for the first time (`seen` is None) counts from its creation.
    """
    now = Seen(service.created, {pod.name: pod.ready_since for pod in pods if pod.ready_since})
    if seen is None:
        return now, service.created
    fresh = [since for name, since in now.pods.items() if since > seen.pods.get(name, "")]
    if service.created > seen.service:
        fresh.append(service.created)
    return now, min(fresh, default="")
