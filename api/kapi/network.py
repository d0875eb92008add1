"""The objects that traffic depends on, as small frozen values.

The API carries JSON; the proxy, the DNS, the ingress and the endpoints controller work on these instead: parsed once
at the edge (`kapi.decode`), compared by value, and light enough for hundreds of thousands of endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Protocol(StrEnum):
    """The transport protocols a Service port can have."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class ServiceType(StrEnum):
    """The values of `spec.type`."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"
    EXTERNAL_NAME = "ExternalName"


class TrafficPolicy(StrEnum):
    """The values of `spec.internalTrafficPolicy` and `spec.externalTrafficPolicy`."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of an object that was left out, and why. `field` is its JSON path, as in a Status cause."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class Reference:
    """Which object something is about: what an Event needs to point at it."""

    kind: str
    namespace: str
    name: str
    uid: str = ""
    api_version: str = "v1"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def as_owner(self) -> dict[str, str | bool]:
        """The entry of `metadata.ownerReferences` that makes this object the one that controls another."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One entry of a Service's `spec.ports`. `node_port` is 0 where there is none."""

    name: str
    protocol: Protocol
    port: int
    target_port: int | str
    node_port: int = 0
    app_protocol: str | None = None


@dataclass(frozen=True, slots=True)
class LoadBalancerAddress:
    """One entry of `status.loadBalancer.ingress` that has an address; `proxied` is `ipMode: Proxy` (KEP-1860)."""

    ip: Address
    proxied: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A Service, with every default filled in. `cluster_ips` is empty for headless and ExternalName Services."""

    namespace: str
    name: str
    uid: str
    type: ServiceType
    headless: bool
    cluster_ips: tuple[Address, ...]
    ports: tuple[ServicePort, ...]
    selector: Mapping[str, str] | None = None
    external_ips: tuple[Address, ...] = ()
    load_balancer: tuple[LoadBalancerAddress, ...] = ()
    load_balancer_names: tuple[str, ...] = ()  # entries of the same list that have a host name instead
    source_ranges: tuple[Network, ...] = ()
    unread_ranges: bool = False  # there are source ranges that cannot be read: whom they let in is not known
    external_name: str = ""
    external_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    internal_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    affinity_seconds: int = 0  # 0 is sessionAffinity None
    publish_not_ready: bool = False
    health_check_node_port: int = 0
    ip_families: tuple[int, ...] = ()  # 4 and 6, in the object's order; empty where the object does not say
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    traffic_distribution: str = ""
    created: str = ""  # metadata.creationTimestamp
    terminating: bool = False
    resource_version: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`, the key every cache uses."""
        return f"{self.namespace}/{self.name}"

    @property
    def reference(self) -> Reference:
        """What an Event about this Service points at."""
        return Reference("Service", self.namespace, self.name, self.uid)


class Endpoint(NamedTuple):
    """One endpoint of a slice. `addresses` all belong to one pod; a service proxy uses the first only.

    A tuple: all those of a slice are made, and compared, whenever one of them changes.
    """

    addresses: tuple[Address, ...]
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node_name: str = ""
    zone: str = ""
    hostname: str = ""
    pod: str = ""  # targetRef.name where it is a Pod
    target: Reference | None = None  # targetRef
    zone_hints: tuple[str, ...] = ()
    node_hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """One entry of a slice's `ports`. A port without a number or a name is left out when decoding."""

    name: str
    protocol: Protocol
    port: int
    app_protocol: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A discovery.k8s.io/v1 EndpointSlice; `service` is the label `kubernetes.io/service-name`, "" where missing."""

    namespace: str
    name: str
    uid: str
    service: str
    family: int  # 4 or 6; 0 is addressType FQDN
    endpoints: tuple[Endpoint, ...]
    ports: tuple[EndpointPort, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owner: Reference | None = None  # the controller among its ownerReferences
    other_owners: tuple[Mapping[str, Any], ...] = ()  # its further ownerReferences, as they are
    finalizers: tuple[str, ...] = ()
    generation: int = 0
    resource_version: str = ""
    trigger_time: str = ""  # endpoints.kubernetes.io/last-change-trigger-time
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name` of the slice."""
        return f"{self.namespace}/{self.name}"

    @property
    def service_key(self) -> str:
        """`namespace/name` of the Service it belongs to."""
        return f"{self.namespace}/{self.service}"

    @property
    def reference(self) -> Reference:
        """What an Event about this slice points at."""
        return Reference("EndpointSlice", self.namespace, self.name, self.uid, "discovery.k8s.io/v1")


@dataclass(frozen=True, slots=True)
class Node:
    """A Node, as far as traffic cares."""

    name: str
    uid: str
    addresses: tuple[Address, ...] = ()  # type InternalIP, in the object's order
    pod_cidrs: tuple[Network, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()  # keys
    milli_cpu: int = 0  # status.allocatable.cpu, in thousandths of one
    ready: bool = True
    terminating: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        """The name: nodes have no namespace."""
        return self.name

    @property
    def zone(self) -> str:
        """The label `topology.kubernetes.io/zone`, or ""."""
        return self.labels.get("topology.kubernetes.io/zone", "")

    @property
    def reference(self) -> Reference:
        """What an Event about this Node points at."""
        return Reference("Node", "", self.name, self.uid)


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a container declares; `number` is what its name resolves to."""

    name: str
    protocol: Protocol
    number: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A Pod, as far as traffic cares."""

    namespace: str
    name: str
    uid: str
    phase: str = "Pending"
    ips: tuple[Address, ...] = ()
    node_name: str = ""
    ready: bool = False
    terminating: bool = False
    ready_since: str = ""  # lastTransitionTime of the Ready condition
    hostname: str = ""
    subdomain: str = ""
    ports: tuple[ContainerPort, ...] = ()  # containers first, then restartable init containers
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    resource_version: str = ""
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def reference(self) -> Reference:
        """What an Event about this Pod points at."""
        return Reference("Pod", self.namespace, self.name, self.uid)
