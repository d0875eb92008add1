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
_STATUS = ("status",)

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, ("ns",), (), ("finalize", "status"))
NODES = Resource("", "v1", "nodes", "Node", False, ("no",), (), ("status",))
_OF_PODS = ("attach", "binding", "eviction", "exec", "log", "portforward", "status")
PODS = Resource("", "v1", "pods", "Pod", True, ("po",), _ALL, _OF_PODS)
SERVICES = Resource("", "v1", "services", "Service", True, ("svc",), _ALL, ("status",))
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, ("ep",))
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",))
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), (), ("token",))
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
EVENTS_V1 = Resource("events.k8s.io", "v1", "events", "Event", True, ("ev",))

STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), _ALL, _SCALED)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), _ALL, _STATUS)
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = Resource("batch", "v1", "jobs", "Job", True, (), _ALL, _STATUS)
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",), _ALL, _STATUS)
HORIZONTAL_POD_AUTOSCALERS = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",), _ALL, _STATUS
)
HORIZONTAL_POD_AUTOSCALERS_V1 = Resource(
    "autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",), _ALL, _STATUS
)
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), (), _STATUS
)
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",))
SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False, (), (), _STATUS)
IP_ADDRESSES = Resource("networking.k8s.io", "v1", "ipaddresses", "IPAddress", False, ("ip",))
PERSISTENT_VOLUME_CLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",), (), _STATUS
)
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), (), _STATUS)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True, ("quota",), (), _STATUS)
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange", True, ("limits",))
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, ("pc",))

_RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False)

_STORAGE = "storage.k8s.io"
STORAGE_CLASSES = Resource(_STORAGE, "v1", "storageclasses", "StorageClass", False, ("sc",))
VOLUME_ATTRIBUTES_CLASSES = Resource(
    _STORAGE, "v1", "volumeattributesclasses", "VolumeAttributesClass", False, ("vac",)
)
VOLUME_ATTACHMENTS = Resource(_STORAGE, "v1", "volumeattachments", "VolumeAttachment", False, (), (), _STATUS)
CSI_DRIVERS = Resource(_STORAGE, "v1", "csidrivers", "CSIDriver", False)
CSI_NODES = Resource(_STORAGE, "v1", "csinodes", "CSINode", False)

_DEVICES = "resource.k8s.io"
RESOURCE_CLAIMS = Resource(_DEVICES, "v1", "resourceclaims", "ResourceClaim", True, (), (), _STATUS)
RESOURCE_CLAIM_TEMPLATES = Resource(_DEVICES, "v1", "resourceclaimtemplates", "ResourceClaimTemplate")
RESOURCE_SLICES = Resource(_DEVICES, "v1", "resourceslices", "ResourceSlice", False)
DEVICE_CLASSES = Resource(_DEVICES, "v1", "deviceclasses", "DeviceClass", False)

_ADMISSION = "admissionregistration.k8s.io"
ADMISSION_POLICIES = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", False, (), (), _STATUS
)
ADMISSION_POLICY_BINDINGS = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", False
)
CERTIFICATE_SIGNING_REQUESTS = Resource(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    False,
    ("csr",),
    (),
    ("status",),
)

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
    EVENTS_V1,
    STATEFUL_SETS,
    DAEMON_SETS,
    CONTROLLER_REVISIONS,
    JOBS,
    CRON_JOBS,
    HORIZONTAL_POD_AUTOSCALERS,
    HORIZONTAL_POD_AUTOSCALERS_V1,
    POD_DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    SERVICE_CIDRS,
    IP_ADDRESSES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    RESOURCE_QUOTAS,
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    STORAGE_CLASSES,
    VOLUME_ATTRIBUTES_CLASSES,
    VOLUME_ATTACHMENTS,
    CSI_DRIVERS,
    CSI_NODES,
    RESOURCE_CLAIMS,
    RESOURCE_CLAIM_TEMPLATES,
    RESOURCE_SLICES,
    DEVICE_CLASSES,
    ADMISSION_POLICIES,
    ADMISSION_POLICY_BINDINGS,
    CERTIFICATE_SIGNING_REQUESTS,
)
