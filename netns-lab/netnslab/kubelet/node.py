"""The Node and Lease objects that a kubelet keeps. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kapi.server.discovery import KUBERNETES
from netnslab.topology import NodeSpec

Json = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 3
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
_RELEASE = "v{}.{}.0".format(*KUBERNETES)
MOST_PODS = 253  # host numbers 2 to 254 of its pod network


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node tells of the machine that all nodes of a lab share."""

    kernel: str
    system: str
    architecture: str
    cpus: int
    memory_bytes: int


def node_object(node: NodeSpec, machine: Machine, *, tainted: bool) -> Json:
    """The Node as the kubelet registers it. A tainted one takes only pods that tolerate the control plane."""
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "topology.kubernetes.io/region": "lab",
        "topology.kubernetes.io/zone": node.zone,
    }
    if node.control_plane:
        labels[CONTROL_PLANE_LABEL] = ""
    networks = [str(network) for network in node.pod_networks]
    taints = [{"key": CONTROL_PLANE_LABEL, "effect": "NoSchedule"}] if tainted else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"podCIDR": networks[0], "podCIDRs": networks, **({"taints": taints} if taints else {})},
    }


def node_status(node: NodeSpec, machine: Machine, now: str, since: str) -> Json:
    """The Node's `status`: its addresses, what it could hold, and that it is ready (since `since`)."""
    size = {"cpu": str(machine.cpus), "memory": f"{machine.memory_bytes // 1024}Ki", "pods": str(MOST_PODS)}
    return {
        "addresses": [
            *({"type": "InternalIP", "address": str(address)} for address in node.addresses.both),
            {"type": "Hostname", "address": node.name},
        ],
        "capacity": size,
        "allocatable": size,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "the node's namespace is connected and takes pods",
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            }
        ],
        "nodeInfo": {
            "architecture": machine.architecture,
            "operatingSystem": "linux",
            "kernelVersion": machine.kernel,
            "osImage": machine.system,
            "containerRuntimeVersion": "netns-lab://0.1",
            "kubeletVersion": f"{_RELEASE}+netns-lab",
            "kubeProxyVersion": f"{_RELEASE}+kproxy",
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
        },
    }


def lease_object(node: NodeSpec, now: str, uid: str) -> Json:
    """The heartbeat: a Lease that is renewed for as long as the kubelet lives. `uid` is the Node's."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node.name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": node.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    }
