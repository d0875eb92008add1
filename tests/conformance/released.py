"""The released kube-proxy, at work on the stage's node, fed by our API server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.conformance.case import Case
from tests.conformance.stage import NODE, POD_NETWORKS, Stage

from kapi import kubeconfig
from kapi.client import Client
from kapi.kubeconfig import Access
from kapi.resources import ENDPOINT_SLICES, NODES, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kproxy.host import InNamespace

BINARY = Path(__file__).parents[2] / "peers/bin/kube-proxy"
PATIENCE = 20.0  # seconds until the first rules are in place
_FOREIGN = (  # what two proxies leave behind
    ["nft", "flush", "ruleset"],
    *(
        [f"ip{six}tables-{flavour}", "-t", table, f"-{do}"]
        for six in ("", "6")
        for flavour in ("legacy",)
        for table in ("nat", "filter", "mangle")
        for do in ("F", "X")
    ),
)
Json = dict[str, Any]


@asynccontextmanager
async def kube_proxy(stage: Stage, case: Case, family: int, mode: str, folder: Path) -> AsyncIterator[None]:
    """Run it for one case, from its first sync on."""
    host = InNamespace(stage.namespaces["node"].fd)
    async with ApiServer(MemoryStore()) as server:
        listening = stage.namespaces["node"].socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = "http://{}:{}".format(*listening.getsockname())
        await server.listen(listening)
        await _write(server.client(), case, family)
        access = folder / "access"
        kubeconfig.write(access, Access(server=url), "peer")
        configuration = folder / "configuration"
        configuration.write_text(yaml.safe_dump(_configuration(case, family, mode, access)))
        with (folder / "log").open("wb") as log, stage.namespaces["node"].entered():
            process = subprocess.Popen(  # noqa: ASYNC220  # it must start inside the namespace, without an await between
                [BINARY, f"--config={configuration}", "-v=2"], stdout=log, stderr=log
            )
        try:
            await _synced(host, process, folder)
            yield
        finally:
            process.kill()
            process.wait()
            for command in _FOREIGN:
                await asyncio.to_thread(host.run, command)


async def _synced(host: InNamespace, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(int(PATIENCE / 0.1)):
        await asyncio.sleep(0.1)
        log = (folder / "log").read_text(errors="replace")
        assert process.poll() is None, log
        rules = await asyncio.to_thread(host.run, ["sh", "-c", "nft list ruleset; iptables-legacy-save"])
        if b"masquerad" in rules.stdout.lower() and b"kube-" in rules.stdout.lower():
            await asyncio.sleep(0.7)  # the other family, and the elements
            return
    raise AssertionError(f"kube-proxy put no rules in place: {log[-3000:]}")


async def _write(client: Client, case: Case, family: int) -> None:
    cluster = case.cluster(family)
    assert cluster.node
    cidr = POD_NETWORKS[family]
    node = {"apiVersion": "v1", "kind": "Node", **cluster.node, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
    await client.create(NODES, node)
    await client.update(NODES, {**(await client.get(NODES, NODE)), "status": node["status"]}, subresource="status")
    for service in cluster.services:
        if service["spec"]["type"] in ("ClusterIP", "ExternalName"):  # the API allows no node ports there
            ports = [{k: v for k, v in port.items() if k != "nodePort"} for port in service["spec"]["ports"]]
            service = {**service, "spec": {**service["spec"], "ports": ports}}
        spec = service["spec"]
        if spec["clusterIPs"]:
            spec = {**spec, "clusterIP": spec["clusterIPs"][0], "ipFamilies": [f"IPv{family}"]}
        new = {name: value for name, value in service.items() if name != "status"}
        made = await client.create(SERVICES, {**new, "spec": spec}, "default")
        if spec["type"] == "LoadBalancer":
            await client.update(SERVICES, {**made, "status": service["status"]}, subresource="status")
    for piece in cluster.slices:
        endpoints = [{k: v for k, v in e.items() if v} for e in piece["endpoints"]]
        await client.create(ENDPOINT_SLICES, {**piece, "endpoints": endpoints}, "default")


def _configuration(case: Case, family: int, mode: str, access: Path) -> Json:
    local = case.settings.get("localTraffic", "networks")
    everyone = bool(case.settings.get("masqueradeAll"))
    wanted = case.settings.get("nodePortAddresses", ["primary"])
    addresses = ["0.0.0.0/0", "::/0"] if wanted == ["all"] else wanted
    cidr = {"networks": POD_NETWORKS[family], "nobody": "192.0.2.0/24" if family == 4 else "2001:db8:ffff::/64"}
    prefix = {"interface": "v-pod", "prefix": "v-p"}.get(local)
    timing = {"minSyncPeriod": "100ms", "syncPeriod": "30s", "masqueradeAll": everyone}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "clientConnection": {"kubeconfig": str(access)},
        "hostnameOverride": NODE,
        "detectLocalMode": "InterfaceNamePrefix" if prefix else "ClusterCIDR",
        "detectLocal": {"interfaceNamePrefix": prefix} if prefix else {},
        "clusterCIDR": cidr.get(local, ""),
        "nodePortAddresses": addresses,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "iptables": timing,
        "nftables": timing,
    }
