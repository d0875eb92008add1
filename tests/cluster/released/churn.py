"""A cluster of our API server and released components, in which a lot happens. Run by `test_released.py`.

Usage: python -m tests.cluster.released.churn FOLDER SECONDS ours|released, in a network namespace of its own, whose
loopback is up. With "released", the API server is the released one too, to see what it makes the others log. The logs
are left in FOLDER; that of our server is standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml
from tests.etcd import Etcd
from tests.server import start

from kapi import kubeconfig
from kapi.client import Client
from kapi.errors import ApiError
from kapi.kubeconfig import Access, client_from
from kapi.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from kapi.server.certificates import Authority

Json = dict[str, Any]

PEERS = Path(__file__).parents[3] / "peers" / "bin"
NODE = "n1"
PAUSE = 0.15  # seconds between steps
HEARTBEAT = 5.0
NAMES = [f"w{number}" for number in range(6)]
PLACES = [f"place{number}" for number in range(3)]
LABELS = {"app": "a"}
TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]},
}
READY = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady", "Initialized")]


def proxy_configuration(access: Path) -> Json:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(access)},
        "hostnameOverride": NODE,
        "clusterCIDR": "10.244.0.0/16",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


@contextlib.contextmanager
def component(name: str, folder: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a released component, with its log in `folder`."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([PEERS / name, *flags], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


class Node:
    """A node without a kubelet's work: it says that it is well, and of every pod that it runs."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._addresses = (f"10.244.{high}.{low}" for high in range(1, 255) for low in range(1, 255))

    async def join(self) -> None:
        spec = {"podCIDR": "10.244.0.0/16", "podCIDRs": ["10.244.0.0/16"]}
        await self.client.create(NODES, {"metadata": {"name": NODE}, "spec": spec})
        await self.beat()

    async def heart(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self.beat()

    async def beat(self) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "reason": "KubeletReady"}
        status = {"conditions": [condition], "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        await self.client.patch(NODES, NODE, {"status": status}, kind="strategic", subresource="status")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": stamp}
        lease = {"metadata": {"name": NODE, "namespace": "kube-node-lease"}, "spec": spec}
        try:
            await self.client.create(LEASES, lease)
        except ApiError:
            await self.client.patch(LEASES, NODE, {"spec": spec}, "kube-node-lease")

    async def run(self) -> None:
        while True:
            async with self.client.watch(PODS) as stream:
                async for event in stream:
                    if event["type"] in ("ADDED", "MODIFIED"):
                        await self._tend(event["object"])

    async def _tend(self, pod: Json) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        with contextlib.suppress(ApiError):  # the pod has changed or gone: there is another event
            if "deletionTimestamp" in pod["metadata"]:
                await self.client.delete(PODS, name, namespace, grace_seconds=0)
            elif not pod["spec"].get("nodeName"):
                await self.client.bind(name, namespace, NODE)
            elif (pod.get("status") or {}).get("phase") == "Pending":
                address = next(self._addresses)
                status = {"phase": "Running", "conditions": READY, "podIP": address, "podIPs": [{"ip": address}]}
                if pod["spec"].get("restartPolicy") != "Always":
                    status["phase"] = "Succeeded"
                await self.client.patch(PODS, name, {"status": status}, namespace, subresource="status")


def selected(**spec: Any) -> Json:
    return {"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec}


def once() -> Json:
    return {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}


MAKE: dict[Resource, Callable[[random.Random], Json]] = {
    DEPLOYMENTS: lambda draw: {"spec": selected(replicas=draw.randrange(5))},
    STATEFUL_SETS: lambda draw: {"spec": selected(replicas=draw.randrange(3), serviceName="w0")},
    DAEMON_SETS: lambda _: {"spec": selected()},
    JOBS: lambda draw: {"spec": {**once(), "completions": draw.randrange(1, 4)}},
    CRON_JOBS: lambda _: {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": once()}}},
    POD_DISRUPTION_BUDGETS: lambda _: {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
    CONFIG_MAPS: lambda draw: {"data": {"n": str(draw.random())}},
    SERVICES: lambda draw: {
        "spec": {
            "type": draw.choice(["ClusterIP", "NodePort", "LoadBalancer"]),
            "selector": LABELS,
            "ports": [{"port": 80, "protocol": draw.choice(["TCP", "UDP"])}],
        }
    },
}


class Churn:
    """Steps that people and controllers take, drawn at random."""

    def __init__(self, client: Client, draw: random.Random) -> None:
        self.client = client
        self.draw = draw
        self.steps = 0
        self.refused = 0

    async def run(self, seconds: float) -> None:
        steps = (
            [self._create] * 4 + [self._change] * 5 + [self._delete] * 3 + [self._lose_a_pod] * 2 + [self._namespace]
        )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.steps += 1
            try:
                await self.draw.choice(steps)()
            except ApiError:  # it is there already, or gone, or its namespace is: as draws have it
                self.refused += 1
            await asyncio.sleep(PAUSE)

    def _place(self) -> str:
        return self.draw.choice(["default", *PLACES])

    async def _create(self) -> None:
        resource = self.draw.choice(list(MAKE))
        obj = {**MAKE[resource](self.draw), "metadata": {"name": self.draw.choice(NAMES)}}
        await self.client.create(resource, obj, self._place())

    async def _change(self) -> None:
        resource, name, place = (
            self.draw.choice([DEPLOYMENTS, STATEFUL_SETS, SERVICES]),
            self.draw.choice(NAMES),
            self._place(),
        )
        patch: Json = {"spec": {"replicas": self.draw.randrange(6)}}
        if resource == SERVICES:
            patch = {"spec": {"ports": [{"port": self.draw.randrange(1, 9000)}]}}
        elif self.draw.random() < 0.3:
            stamp = {"metadata": {"annotations": {"restarted": str(self.draw.random())}}}
            patch = {"spec": {"template": stamp}}
        await self.client.patch(resource, name, patch, place)

    async def _delete(self) -> None:
        await self.client.delete(self.draw.choice(list(MAKE)), self.draw.choice(NAMES), self._place())

    async def _lose_a_pod(self) -> None:
        pods = (await self.client.list(PODS)).items
        if pods:
            meta = self.draw.choice(pods)["metadata"]
            await self.client.delete(PODS, meta["name"], meta["namespace"])

    async def _namespace(self) -> None:
        name = self.draw.choice(PLACES)
        if self.draw.random() < 0.6:
            await self.client.create(NAMESPACES, {"metadata": {"name": name}})
        else:
            await self.client.delete(NAMESPACES, name)


async def play(access: Path, seconds: float) -> None:
    client = client_from(access, None)
    node = Node(client)
    await node.join()
    churn = Churn(client, random.Random(1))
    beside = [asyncio.create_task(job) for job in (node.run(), node.heart())]
    await churn.run(seconds)
    for task in beside:
        task.cancel()
    results = await asyncio.gather(*beside, return_exceptions=True)
    await client.close()
    ended = [result for result in results if not isinstance(result, asyncio.CancelledError)]
    assert not ended, ended
    report = f"{churn.steps} steps, of which {churn.refused} were refused\n"
    (access.parent / "steps").write_text(report)


@contextlib.contextmanager
def ours(folder: Path) -> Iterator[None]:
    """Run our API server, with HTTPS and a file."""
    files = ("--certificates", str(folder / "pki"), "--data", str(folder / "db"))
    server = start("--secure-listen", "127.0.0.1:0", "--kubeconfig", str(folder / "access"), *files)
    try:
        yield
    finally:
        server.end()


@contextlib.contextmanager
def theirs(folder: Path) -> Iterator[None]:
    """Run the released API server, with etcd, and the same certificates."""
    authority, etcd = Authority(folder / "pki"), Etcd(folder / "etcd")
    mine = authority.server(["localhost"], [ip_address("127.0.0.1")])
    admin = authority.client("kubernetes-admin")
    root, own, key = (path.read_bytes() for path in (authority.root.certificate, admin.certificate, admin.key))
    kubeconfig.write(folder / "access", Access("https://127.0.0.1:6443", ca=root, certificate=own, key=key), "churn")
    etcd.start()
    flags = [f"--etcd-servers={etcd.url}", "--service-cluster-ip-range=10.96.0.0/16", "--bind-address=127.0.0.1"]
    flags += ["--advertise-address=192.0.2.1"]  # a network without a way out has no address to find
    flags += [f"--client-ca-file={authority.root.certificate}", "--authorization-mode=AlwaysAllow"]
    flags += [f"--tls-cert-file={mine.certificate}", f"--tls-private-key-file={mine.key}"]
    flags += [
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={mine.certificate}",
    ]
    flags += [f"--service-account-signing-key-file={mine.key}", "--disable-admission-plugins=ServiceAccount"]
    try:
        with component("kube-apiserver", folder, *flags):
            asyncio.run(settled(folder / "access"))
            yield
    finally:
        etcd.stop()


async def settled(access: Path) -> None:
    """Wait until an API server has what every cluster has."""
    client = client_from(access, None)
    async with asyncio.timeout(90):
        while True:
            with contextlib.suppress(ApiError):
                await client.get(NAMESPACES, "default")
                break
            await asyncio.sleep(0.2)
    await client.close()


def main() -> None:
    """Run it all for the time that was asked for."""
    folder, seconds, server = Path(sys.argv[1]), float(sys.argv[2]), {"ours": ours, "released": theirs}[sys.argv[3]]
    access, configuration = folder / "access", folder / "proxy.yaml"
    configuration.write_text(yaml.safe_dump(proxy_configuration(access)))
    who = [f"--{part}kubeconfig={access}" for part in ("", "authentication-", "authorization-")]
    with (
        server(folder),
        component("kube-proxy", folder, f"--config={configuration}"),
        component("kube-controller-manager", folder, *who, "--secure-port=0", "--terminated-pod-gc-threshold=20"),
    ):
        asyncio.run(play(access, seconds))


if __name__ == "__main__":
    main()
