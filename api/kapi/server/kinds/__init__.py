"""What the server knows of each kind: one module a family, one declaration a kind. Pure.

To add a kind, declare its `Resource` in `kapi.resources`, its type in `kapi.objects`, and its `Kind` here.
"""

from kapi.server.kinds.autoscalers import AUTOSCALER, AUTOSCALER_V1
from kapi.server.kinds.batch import CRON_JOB, JOB
from kapi.server.kinds.core import CONFIG_MAP, EVENT, EVENT_V1, LEASE, NAMESPACE, NODE, SECRET, SERVICE_ACCOUNT
from kapi.server.kinds.endpoints import ENDPOINT_SLICE, ENDPOINTS_KIND
from kapi.server.kinds.ingresses import INGRESS, INGRESS_CLASS
from kapi.server.kinds.kind import Kind
from kapi.server.kinds.others import IP_ADDRESS, KEPT, SERVICE_CIDR
from kapi.server.kinds.pods import POD
from kapi.server.kinds.policies import (
    BUDGET,
    LIMIT_RANGE,
    NETWORK_POLICY,
    PRIORITY_CLASS,
    QUOTA,
)
from kapi.server.kinds.rbac import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING
from kapi.server.kinds.services import SERVICE
from kapi.server.kinds.sets import CONTROLLER_REVISION, DAEMON_SET, STATEFUL_SET
from kapi.server.kinds.storage import CLAIM, CSI_DRIVER, CSI_NODE, STORAGE_CLASS, VOLUME, VOLUME_ATTACHMENT
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
    EVENT_V1,
    CLAIM,
    LIMIT_RANGE,
    QUOTA,
    VOLUME,
    CONTROLLER_REVISION,
    DAEMON_SET,
    STATEFUL_SET,
    CRON_JOB,
    JOB,
    AUTOSCALER,
    AUTOSCALER_V1,
    BUDGET,
    NETWORK_POLICY,
    IP_ADDRESS,
    SERVICE_CIDR,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    ROLE,
    ROLE_BINDING,
    CSI_DRIVER,
    CSI_NODE,
    STORAGE_CLASS,
    VOLUME_ATTACHMENT,
    PRIORITY_CLASS,
    *KEPT,
)

__all__ = ["KINDS", "Kind"]
