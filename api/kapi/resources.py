"""The resources of the API: one declaration per kind, in one place.

The client takes these instead of strings, and the server serves what is declared here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the API serves it: where it lives and what it is called."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`services` or `deployments.apps`, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        """The lower-case kind."""
        return self.kind.lower()

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Give the URL path of the collection, or of one object, or of its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


_ALL = ("all",)
_SCALED = ("scale", "status")

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, ("ns",), (), ("finalize", "status"))
NODES = Resource("", "v1", "nodes", "Node", False, ("no",), (), ("status",))
PODS = Resource("", "v1", "pods", "Pod", True, ("po",), _ALL, ("binding", "eviction", "log", "status"))
SERVICES = Resource("", "v1", "services", "Service", True, ("svc",), _ALL, ("status",))
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, ("ep",))
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",))
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",))
EVENTS = Resource("", "v1", "events", "Event", True, ("ev",))
REPLICATION_CONTROLLERS = Resource(
    "", "v1", "replicationcontrollers", "ReplicationController", True, ("rc",), _ALL, _SCALED
)
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), _ALL, _SCALED)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), _ALL, _SCALED)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), (), ("status",))
INGRESS_CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    SECRETS,
    CONFIG_MAPS,
    SERVICE_ACCOUNTS,
    EVENTS,
    REPLICATION_CONTROLLERS,
    REPLICA_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    INGRESSES,
    INGRESS_CLASSES,
    LEASES,
)
