"""A pod as its kubelet needs it: containers, probes and policies, read once from the API's JSON. Pure.

Defaults are those of the API reference (v1 Pod), so that a pod from any server means the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kapi.network import Reference

Json = dict[str, Any]

_DEFAULT_GRACE = 30


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
    """A port that a container declares."""

    name: str
    protocol: str
    number: int


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
    """One pod bound to a node."""

    namespace: str
    name: str
    uid: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    grace: float = _DEFAULT_GRACE
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    dns_policy: str = "ClusterFirst"
    dns_config: Mapping[str, Any] = field(default_factory=dict)
    host_aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    readiness_gates: tuple[str, ...] = ()
    service_links: bool = True
    service_account: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def reference(self) -> Reference:
        """What an Event about this pod points at."""
        return Reference("Pod", self.namespace, self.name, self.uid)


def read(obj: Json) -> PodSpec:
    """Read a v1 Pod. Raises KeyError or TypeError for one that no API server would accept."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    grace = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        namespace=meta.get("namespace") or "default",
        name=meta["name"],
        uid=meta.get("uid") or "",
        containers=tuple(_container(item) for item in spec.get("containers") or ()),
        init_containers=tuple(_container(item) for item in spec.get("initContainers") or ()),
        restart_policy=RestartPolicy(spec.get("restartPolicy") or "Always"),
        grace=_DEFAULT_GRACE if grace is None else grace,
        host_network=bool(spec.get("hostNetwork")),
        hostname=spec.get("hostname") or meta["name"][:63],
        subdomain=spec.get("subdomain") or "",
        dns_policy=spec.get("dnsPolicy") or "ClusterFirst",
        dns_config=spec.get("dnsConfig") or {},
        host_aliases=tuple((a["ip"], tuple(a.get("hostnames") or ())) for a in spec.get("hostAliases") or ()),
        readiness_gates=tuple(gate["conditionType"] for gate in spec.get("readinessGates") or ()),
        service_links=spec.get("enableServiceLinks") is not False,
        service_account=spec.get("serviceAccountName") or "default",
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
    )


def grace_of(obj: Json) -> float:
    """The seconds a pod that is being deleted has left to end by itself."""
    given = obj["metadata"].get("deletionGracePeriodSeconds")
    return read(obj).grace if given is None else given


def _container(item: Json) -> Container:
    hook = (item.get("lifecycle") or {}).get("preStop") or {}
    return Container(
        name=item["name"],
        image=item.get("image") or "",
        command=tuple(item.get("command") or ()),
        args=tuple(item.get("args") or ()),
        env=tuple(item.get("env") or ()),
        env_from=tuple(item.get("envFrom") or ()),
        cwd=item.get("workingDir") or "",
        ports=tuple(
            Port(port.get("name") or "", port.get("protocol") or "TCP", port["containerPort"])
            for port in item.get("ports") or ()
        ),
        readiness=_probe(item.get("readinessProbe")),
        liveness=_probe(item.get("livenessProbe")),
        startup=_probe(item.get("startupProbe")),
        pre_stop=tuple((hook.get("exec") or {}).get("command") or ()),
        pre_stop_sleep=(hook.get("sleep") or {}).get("seconds") or 0,
        sidecar=item.get("restartPolicy") == "Always",
    )


def _probe(item: Json | None) -> Probe | None:
    kind = next((kind for kind in ProbeKind if item and kind in item), None)
    if item is None or kind is None:
        return None
    how = item[kind] or {}
    return Probe(
        kind=kind,
        port=how.get("port") or 0,
        path=how.get("path") or "/",
        scheme=how.get("scheme") or "HTTP",
        host=how.get("host") or "",
        headers=tuple((header["name"], header.get("value") or "") for header in how.get("httpHeaders") or ()),
        command=tuple(how.get("command") or ()),
        initial_delay=item.get("initialDelaySeconds") or 0,
        period=item.get("periodSeconds") or 10,
        timeout=item.get("timeoutSeconds") or 1,
        success_threshold=item.get("successThreshold") or 1,
        failure_threshold=item.get("failureThreshold") or 3,
    )
