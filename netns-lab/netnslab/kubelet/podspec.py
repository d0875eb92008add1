"""A pod as its kubelet needs it: containers, probes and policies; `podreading` reads it from the API's JSON. Pure.

Defaults are those of the API reference (v1 Pod), so that a pod from any server means the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kapi.network import Problem, Reference
from netnslab.kubelet.volumespec import Mount, Volume

Json = dict[str, Any]

DEFAULT_GRACE = 30  # seconds


class RestartPolicy(StrEnum):
    """The values of `spec.restartPolicy`."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class ProbeKind(StrEnum):
    """How a probe asks."""

    HTTP = "httpGet"
    TCP = "tcpSocket"
    EXEC = "exec"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe; times in seconds. `port` may be the name of a container port."""

    kind: ProbeKind
    port: int | str = 0
    path: str = "/"
    scheme: str = "HTTP"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a container declares; `host` is the node's port that it wants beside, 0 for none."""

    name: str
    protocol: str
    number: int
    host: int = 0


@dataclass(frozen=True, slots=True)
class Container:
    """One container, init container or sidecar (an init container that keeps running)."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Json, ...] = ()
    env_from: tuple[Json, ...] = ()
    cwd: str = ""
    mounts: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    pre_stop: tuple[str, ...] = ()
    pre_stop_sleep: float = 0
    sidecar: bool = False

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Its probes of all three purposes."""
        return tuple(probe for probe in (self.startup, self.readiness, self.liveness) if probe is not None)

    def port(self, wanted: int | str) -> int:
        """The number of a port given by number or name; 0 where no port has that name."""
        if isinstance(wanted, int):
            return wanted
        return next((p.number for p in self.ports if p.name == wanted), int(wanted) if wanted.isdigit() else 0)


@dataclass(frozen=True, slots=True)
class PodSpec:
    """One pod bound to a node; a pod without containers cannot run."""

    namespace: str
    name: str
    uid: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    of_job: bool = False  # it is to come to an end by itself
    grace: float = DEFAULT_GRACE
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    dns_policy: str = "ClusterFirst"
    dns_config: Mapping[str, Any] = field(default_factory=dict)
    host_aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    readiness_gates: tuple[str, ...] = ()
    service_links: bool = True
    service_account: str = "default"
    account_token: bool | None = None  # None leaves it to the ServiceAccount
    volumes: tuple[Volume, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()  # what could not be read, and was left out

    @property
    def once(self) -> bool:
        """Whether somebody made it to run something one time, as `kubectl run --restart=Never` does."""
        return self.restart_policy is RestartPolicy.NEVER and not self.of_job

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def reference(self) -> Reference:
        """What an Event about this pod points at."""
        return Reference("Pod", self.namespace, self.name, self.uid)
