"""What `netns-lab status` tells about a running lab, as plain JSON."""

from __future__ import annotations

import sys
import time
from typing import Any

from kapi import decode
from kapi.resources import PODS, SERVICES
from netnslab import system
from netnslab.cluster import Cluster
from netnslab.kubelet.kubelet import same

Json = dict[str, Any]


def status(cluster: Cluster) -> Json:
    """The whole of it: where to reach what, and what runs where."""
    pods = cluster.source.cache(PODS, same)
    services = cluster.source.cache(SERVICES, decode.service)
    ingress = services.get(f"{system.NAMESPACE}/{system.INGRESS}")
    return {
        "name": cluster.ground.config.name,
        "backend": cluster.ground.config.backend,
        "uptime_seconds": round(time.monotonic() - cluster.started, 1),
        "kubeconfig": str(cluster.ground.folder.kubeconfig),
        "api": cluster.ground.sockets.api_url,
        "ingress": cluster.ground.sockets.ingress_url,
        "ingress_addresses": [str(address.ip) for address in ingress.load_balancer] if ingress else [],
        "installation": sys.prefix,
        "client": {"addresses": [str(address) for address in cluster.ground.topology.client.both]},
        "router": {"addresses": [str(address) for address in cluster.ground.topology.router.both]},
        "nodes": [
            {
                "name": node.name,
                "zone": node.zone,
                "addresses": [str(address) for address in node.addresses.both],
                "pod_networks": [str(network) for network in node.pod_networks],
                "pods": _pods([pod for pod in pods.values() if pod["spec"].get("nodeName") == node.name]),
            }
            for node in cluster.ground.topology.nodes
        ],
        "waiting_pods": _pods([pod for pod in pods.values() if not pod["spec"].get("nodeName")]),
        "services": len(services),
    }


def _pods(pods: list[Json]) -> list[Json]:
    found = []
    for pod in pods:
        state = pod.get("status") or {}
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in state.get("conditions") or ())
        meta = pod["metadata"]
        address = state.get("podIP") or ""
        who = {"namespace": meta["namespace"], "name": meta["name"], "address": address}
        found.append({**who, "ready": ready, "phase": state.get("phase") or "Pending"})
    return sorted(found, key=lambda pod: (pod["namespace"], pod["name"]))
