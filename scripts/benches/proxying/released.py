"""The released kube-proxy, fed by our API server, in a namespace: `released MODE SERVICES`. For comparison only.

Its times are those that it measures itself: the sync of its rules, without what the API costs it.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import tempfile
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import yaml

from benches.proxying.cluster import NODE, endpoint_slice, service
from kapi import kubeconfig
from kapi.client import Client
from kapi.kubeconfig import Access
from kapi.resources import ENDPOINT_SLICES, NODES, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Up

BINARY = Path(__file__).parents[3] / "peers/bin/kube-proxy"
ENDPOINTS = 10
CHANGES = 7
_SECONDS = 120.0
_PREFIX = "kubeproxy_sync"


async def measure(mode: str, services: int) -> dict[str, float]:
    """Let it put everything in place, then change endpoints one at a time; seconds. Empty where it is not built."""
    if not BINARY.exists():
        return {}
    with Namespace.create() as node, tempfile.TemporaryDirectory() as folder:
        node.apply([Up("lo"), Assign("lo", ip_interface("10.0.0.1/32"))])
        async with ApiServer(MemoryStore()) as server:
            listening = node.socket(socket.AF_INET, socket.SOCK_STREAM)
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            await server.listen(listening)
            client = server.client()
            await _fill(client, services)
            access = Path(folder) / "access"
            kubeconfig.write(access, Access(server="http://{}:{}".format(*listening.getsockname())), "peer")
            process = _start(node, mode, access)
            try:
                return await _times(node, client, services)
            finally:
                process.kill()
                process.wait()


async def _fill(client: Client, services: int) -> None:
    await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    for number in range(1, services + 1):  # the first address is the API's own
        await client.create(SERVICES, {"apiVersion": "v1", "kind": "Service", **service(number)}, "default")
        await client.create(ENDPOINT_SLICES, _slice(endpoint_slice(number, ENDPOINTS)), "default")


def _slice(piece: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **piece}


def _start(node: Namespace, mode: str, access: Path) -> subprocess.Popen[bytes]:
    configuration = access.with_name("configuration")
    timing = {"minSyncPeriod": "1ms", "syncPeriod": "1h"}
    written = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "clientConnection": {"kubeconfig": str(access)},
        "hostnameOverride": NODE,
        "bindAddress": "10.0.0.1",
        "clusterCIDR": "10.244.0.0/16",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "metricsBindAddress": "127.0.0.1:10249",
        "nftables": timing,
        "iptables": timing,
    }
    configuration.write_text(yaml.safe_dump(written))
    with node.entered():
        null = subprocess.DEVNULL
        return subprocess.Popen([BINARY, f"--config={configuration}"], stdout=null, stderr=null)


async def _times(node: Namespace, client: Client, services: int) -> dict[str, float]:
    """Wait for its syncs, and take the time of each from its own metrics."""
    full = await _synced(node, "full", 0)
    changes: list[float] = []
    before = await _total(node, "partial")
    for number in range(CHANGES):
        changed = _slice(endpoint_slice(1 + number * 37 % services, ENDPOINTS, unready=3))
        name = changed["metadata"]["name"]
        known = await client.get(ENDPOINT_SLICES, name, "default")
        changed["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"]
        await client.update(ENDPOINT_SLICES, changed)
        after = await _synced(node, "partial", before[0])
        changes.append((after[1] - before[1]) / (after[0] - before[0]))
        before = after
    return {"cold": full[1], "p50": sorted(changes)[CHANGES // 2]}


async def _synced(node: Namespace, kind: str, count: float) -> tuple[float, float]:
    """Wait until there are more syncs of a kind than `count`."""
    async with asyncio.timeout(_SECONDS):
        while (found := await _total(node, kind))[0] <= count:  # noqa: ASYNC110  # another process syncs
            await asyncio.sleep(0.05)
    return found


async def _total(node: Namespace, kind: str) -> tuple[float, float]:
    """Give how many syncs of a kind there were in IPv4, and their seconds."""
    text = await asyncio.to_thread(_metrics, node)
    found = [0.0, 0.0]
    for position, what in enumerate(("count", "sum")):
        pattern = rf'^{_PREFIX}_{kind}_proxy_rules_duration_seconds_{what}{{ip_family="IPv4"}} (\S+)$'
        if (match := re.search(pattern, text, re.MULTILINE)) is not None:
            found[position] = float(match[1])
    return found[0], found[1]


def _metrics(node: Namespace) -> str:
    with node.socket(socket.AF_INET, socket.SOCK_STREAM) as asking:
        asking.settimeout(10)
        if asking.connect_ex(("127.0.0.1", 10249)):
            return ""
        asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with asking.makefile("rb") as answer:
            return answer.read().decode()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
