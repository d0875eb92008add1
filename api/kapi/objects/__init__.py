"""The types of API objects, for the API's edge: what a client may send, and what each field means.

Fields have Python names (`cluster_ips`) and read JSON ones (`clusterIPs`); what is not declared is kept. Inside, the
components work on the small values of `kapi.network` instead.
"""

from kapi.objects.apps import (
    ControllerRevision,
    DaemonSet,
    Deployment,
    Lease,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)
from kapi.objects.base import Object, ObjectMeta, Structure
from kapi.objects.batch import CronJob, Job
from kapi.objects.core import ConfigMap, Event, EventV1, Namespace, Node, Secret, ServiceAccount
from kapi.objects.networking import Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR
from kapi.objects.pods import Pod
from kapi.objects.services import Endpoints, EndpointSlice, Service

__all__ = [
    "ConfigMap",
    "ControllerRevision",
    "CronJob",
    "DaemonSet",
    "Deployment",
    "EndpointSlice",
    "Endpoints",
    "Event",
    "EventV1",
    "IPAddress",
    "Ingress",
    "IngressClass",
    "Job",
    "Lease",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "Object",
    "ObjectMeta",
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceCIDR",
    "StatefulSet",
    "Structure",
]
