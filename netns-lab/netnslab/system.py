"""The objects that a lab starts with: the cluster's DNS and its ingress, as Deployments like any other. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from netnslab.kubelet.launch import HANDED
from netnslab.topology import POD_NETWORKS, Topology

Json = dict[str, Any]

NAMESPACE = "kube-system"
ZONE = "cluster.local"
API_PORT = 6443
API_ADDRESS = IPv4Address("10.96.0.1")  # of the `kubernetes` Service: the built-ins reach the API as any pod does
DNS_ADDRESS = "10.96.0.10"
DNS = "kube-dns"
INGRESS = "ingress"
INGRESS_CLASS = "kproxy"
HOST_INGRESS = "ingress"  # the name under which the host's ingress socket is handed to the pod
OUTSIDE_NAMES = ("legacy.outside.test", "outside.test")
_TOLERATIONS = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}]


def objects(topology: Topology, kubeconfig: str) -> tuple[Json, ...]:
    """All of them, in the order in which they are created; `kubeconfig` is the file by which built-ins find the API."""
    return (
        _dns_service(),
        _deployment(DNS, "kproxy.io/kdns", _dns_container(topology, kubeconfig)),
        _ingress_class(),
        _ingress_service(),
        _deployment(INGRESS, "kproxy.io/kingress", _ingress_container(kubeconfig), {HANDED: HOST_INGRESS}),
    )


def outside_corefile(topology: Topology) -> str:
    """The Corefile of the name server that stands for the rest of the world, beside the outside client.

    Nothing is beyond it: other names do not exist. To refuse them would make musl's resolver wait for five seconds.
    """
    addresses = topology.client.both
    entries = "".join(f"    {address} {' '.join(OUTSIDE_NAMES)}\n" for address in addresses)
    return f". {{\n  bind {' '.join(map(str, addresses))}\n  hosts {{\n{entries}  }}\n}}\n"


def _dns_container(topology: Topology, kubeconfig: str) -> Json:
    arguments = [
        f"--kubeconfig={kubeconfig}",
        f"--zone={ZONE}",
        "--listen=0.0.0.0:53",
        "--listen=[::]:53",
        f"--upstream={topology.client.v4}:53",
        *(f"--reverse={network}" for network in POD_NETWORKS),
        "--health=0.0.0.0:8080",
    ]
    return {
        "args": arguments,
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10},
    }


def _ingress_container(kubeconfig: str) -> Json:
    arguments = [
        f"--kubeconfig={kubeconfig}",
        "--listen=0.0.0.0:80",
        "--listen=[::]:80",
        "--listen-tls=0.0.0.0:443",
        "--listen-tls=[::]:443",
        "--listen-fd=3",
        f"--ingress-class={INGRESS_CLASS}",
        f"--publish-service={NAMESPACE}/{INGRESS}",
        "--drain=4",
        "--admin=0.0.0.0:10254",
    ]
    return {
        "args": arguments,
        "ports": [
            {"name": "http", "containerPort": 80},
            {"name": "https", "containerPort": 443},
            {"name": "admin", "containerPort": 10254},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 10254}, "periodSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 10254}, "periodSeconds": 10},
    }


def _deployment(name: str, image: str, container: Json, annotations: Json | None = None) -> Json:
    labels = {"k8s-app": name}
    template = {
        "metadata": {"labels": labels, "annotations": annotations or {}},
        "spec": {
            "containers": [{"name": name, "image": image, **container}],
            "dnsPolicy": "Default",
            "tolerations": _TOLERATIONS,
            "terminationGracePeriodSeconds": 5,
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def _dns_service() -> Json:
    labels = {"k8s-app": DNS, "kubernetes.io/name": "KubeDNS"}
    ports = [
        {"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": 53, "protocol": "TCP"},
    ]
    spec = {
        "clusterIP": DNS_ADDRESS,
        "ipFamilyPolicy": "PreferDualStack",
        "selector": {"k8s-app": DNS},
        "ports": ports,
    }
    metadata = {"name": DNS, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _ingress_service() -> Json:
    spec = {
        "type": "LoadBalancer",
        "ipFamilyPolicy": "PreferDualStack",
        "externalTrafficPolicy": "Local",  # so that it sees its clients' own addresses
        "selector": {"k8s-app": INGRESS},
        "ports": [
            {"name": "http", "port": 80, "targetPort": 80},
            {"name": "https", "port": 443, "targetPort": 443},
        ],
    }
    metadata = {"name": INGRESS, "namespace": NAMESPACE, "labels": {"k8s-app": INGRESS}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _ingress_class() -> Json:
    default = {"ingressclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": INGRESS_CLASS, "annotations": default},
        "spec": {"controller": "kproxy.io/ingress"},
    }
