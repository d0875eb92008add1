"""Tells when a lab is up: its own pods are ready, DNS answers in a pod, and the ingress listens."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Any

from kapi.cache import Cache
from kapi.resources import PODS
from netnslab import system
from netnslab.cluster import Cluster
from netnslab.errors import NotStarted
from netnslab.kernel import Namespace
from netnslab.kubelet.kubelet import same
from netnslab.kubelet.pod import PodWorker

Json = dict[str, Any]

_PATIENCE = 60.0  # seconds that a lab may take, on however slow a machine
_POLL = 0.01
_ASK_AGAIN = 0.1  # a lost question: the proxy was not there yet when it was sent


async def wait_up(cluster: Cluster) -> None:
    """Wait until the lab's own pods are ready and DNS answers where pods ask. Raises NotStarted after a minute."""
    pods: Cache[Json] = cluster.source.cache(PODS, same)
    await pods.wait_synced()
    deadline = time.monotonic() + _PATIENCE
    changed = asyncio.Event()
    pods.listen(lambda _: changed.set())
    try:
        async with asyncio.timeout(_PATIENCE):
            while _not_ready(pods):
                _check_crashes(cluster)
                changed.clear()
                await changed.wait()
    except TimeoutError:
        names = " and ".join(_not_ready(pods))
        raise NotStarted(f"{names} did not become ready within {_PATIENCE:g} s") from None
    ingress = _worker(cluster, system.INGRESS)
    assert ingress.sandbox is not None
    await _resolved(ingress.sandbox.namespace, deadline)


def _not_ready(pods: Cache[Json]) -> list[str]:
    ready = {pod["metadata"].get("labels", {}).get("k8s-app") for pod in pods.values() if _ready(pod)}
    return [name for name in (system.DNS, system.INGRESS) if name not in ready]


def _check_crashes(cluster: Cluster) -> None:
    """Give up as soon as one of the lab's own pods has crashed twice: waiting longer would not help."""
    for kubelet in cluster.kubelets.values():
        for worker in kubelet.workers.values():
            for state in worker.states():
                if state.reason == "CrashLoopBackOff" and state.restarts:
                    path = worker.log_path(state.name)
                    words = path.read_text(errors="replace").strip().splitlines() if path and path.exists() else []
                    raise NotStarted(f"pod {worker.spec.key} crashes: {words[-1] if words else 'without a word'}")


def _ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _worker(cluster: Cluster, app: str) -> PodWorker:
    workers = (worker for kubelet in cluster.kubelets.values() for worker in kubelet.workers.values())
    return next(worker for worker in workers if worker.spec.labels.get("k8s-app") == app)


async def _resolved(namespace: Namespace, deadline: float) -> None:
    """Ask the DNS Service from inside a pod's namespace until it answers."""
    loop = asyncio.get_running_loop()
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (system.DNS_ADDRESS, 53))
        while time.monotonic() < deadline:
            try:
                await loop.sock_sendall(sock, _question(f"{system.DNS}.{system.NAMESPACE}.svc.{system.ZONE}"))
                async with asyncio.timeout(_ASK_AGAIN):
                    answer = await loop.sock_recv(sock, 512)
            except (TimeoutError, ConnectionError):
                continue
            if _answers(answer):
                return
            await asyncio.sleep(_POLL)
    raise NotStarted(f"DNS at {system.DNS_ADDRESS} did not answer in a pod within {_PATIENCE:g} s")


def _question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def _answers(data: bytes) -> bool:
    """Whether a DNS message is a successful answer with at least one record."""
    return len(data) >= 12 and data[3] & 0x0F == 0 and struct.unpack_from("!H", data, 6)[0] > 0
