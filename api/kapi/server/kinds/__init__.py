"""What the server knows of each kind: one module a family, one declaration a kind. Pure.

To add a kind, declare its `Resource` in `kapi.resources`, its type in `kapi.objects`, and its `Kind` here.
"""

from kapi.server.kinds.core import CONFIG_MAP, EVENT, LEASE, NAMESPACE, NODE, SECRET, SERVICE_ACCOUNT
from kapi.server.kinds.endpoints import ENDPOINT_SLICE, ENDPOINTS_KIND
from kapi.server.kinds.ingresses import INGRESS, INGRESS_CLASS
from kapi.server.kinds.kind import Kind
from kapi.server.kinds.pods import POD
from kapi.server.kinds.services import SERVICE
from kapi.server.kinds.workloads import DEPLOYMENT, REPLICA_SET, REPLICATION_CONTROLLER

KINDS: tuple[Kind, ...] = (
    CONFIG_MAP,
    ENDPOINTS_KIND,
    EVENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICATION_CONTROLLER,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    DEPLOYMENT,
    REPLICA_SET,
    ENDPOINT_SLICE,
    INGRESS,
    INGRESS_CLASS,
    LEASE,
)

__all__ = ["KINDS", "Kind"]
