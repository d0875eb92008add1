"""Puts a cluster together: network, API server, controllers, kubelets, service proxies, DNS and ingress.

Everything that is not a pod runs as a task of this process; docs/architecture.md has the picture.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kapi import decode, kubeconfig
from kapi.client import Client
from kapi.events import Recorder
from kapi.kubeconfig import Access
from kapi.network import Address
from kapi.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from kapi.server import ApiServer, Settings
from kapi.source import ApiSource
from kapi.store.sqlite import SqliteStore
from kendpoints.controller import Controller
from kproxy import backends
from kproxy.host import InNamespace
from kproxy.proxy import Proxy
from kproxy.settings import Settings as ProxySettings
from netnslab import outside, system, trust, workloads
from netnslab.config import Config
from netnslab.errors import Unsupported
from netnslab.kept import kept
from netnslab.kernel import Namespace
from netnslab.kubelet.answering import Answering
from netnslab.kubelet.kubelet import Kubelet, log_times, pod_logs, same
from netnslab.kubelet.logtimes import LogTimes
from netnslab.kubelet.node import Machine
from netnslab.kubelet.sandbox import PodNetwork
from netnslab.kubelet.surroundings import Surroundings
from netnslab.owners import Owners
from netnslab.processes import Processes
from netnslab.routes import Router
from netnslab.state import LabFolder
from netnslab.topology import CLIENT, ROUTER, SERVICE_CIDRS, NodeSpec, Topology
from netnslab.trust import Trust

Json = dict[str, Any]

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class HostSockets:
    """The lab's listening sockets on the host's 127.0.0.1, which is all that the host can reach of it.

    `owners` says who may use the API.
    """

    api: socket.socket
    ingress: socket.socket
    owners: Owners

    @property
    def api_url(self) -> str:
        """Where the host reaches the API."""
        return "http://{}:{}".format(*self.api.getsockname())

    @property
    def ingress_url(self) -> str:
        """Where the host reaches the ingress."""
        return "http://{}:{}".format(*self.ingress.getsockname())


@dataclass(frozen=True, slots=True)
class Ground:
    """What a cluster is built on: the network of namespaces, the host's sockets, and the zygote's line."""

    config: Config
    topology: Topology
    namespaces: Mapping[str, Namespace]
    folder: LabFolder
    sockets: HostSockets
    processes: Processes
    trust: Trust
    log_times: LogTimes


@dataclass(slots=True)
class Cluster:
    """A running cluster, as the control socket sees it. `started` is a time of `time.monotonic`."""

    ground: Ground
    client: Client
    source: ApiSource
    kubelets: dict[str, Kubelet]
    started: float


@asynccontextmanager
async def api(ground: Ground) -> AsyncIterator[Cluster]:
    """The API server, reached from the host, from the control plane's addresses and from this process."""
    kubelets: dict[str, Kubelet] = {}
    settings = Settings(
        service_cidrs=SERVICE_CIDRS,
        advertise=ground.topology.control_plane.addresses.both,
        port=system.API_PORT,
        pod_logs=pod_logs(kubelets),
        previous_logs=pod_logs(kubelets, previous=True),
        log_times=log_times(kubelets, ground.log_times),
        kubelets=Answering(kubelets),
        tokens=ground.trust.tokens,
    )
    store = SqliteStore(ground.folder.path / "state.db", durability="process")
    async with ApiServer(store, settings) as server:
        await server.listen(ground.sockets.api, guard=ground.sockets.owners.refuse)
        for address in ground.topology.control_plane.addresses.both:
            sock = _listening(ground.namespaces[ground.topology.control_plane.name], address, system.API_PORT)
            await server.listen(sock, ground.trust.tls)
        kubeconfig.write(
            ground.folder.kubeconfig, Access(server=ground.sockets.api_url), f"netns-lab-{ground.config.name}"
        )
        trust.write_kubeconfigs(ground.trust, ground.folder, ground.topology)
        client = server.client("netns-lab")
        yield Cluster(ground, client, ApiSource(client), kubelets, time.monotonic())


def components(cluster: Cluster, tasks: asyncio.TaskGroup) -> None:
    """Start everything that runs beside the API server, as tasks."""
    client, source = cluster.client, cluster.source
    endpoints, control = Recorder("kendpoints", client), Recorder("netns-lab", client)

    def start(name: str, run: Callable[[], Awaitable[None]]) -> None:
        tasks.create_task(kept(name, run), name=name)

    start("endpoints", lambda: Controller(client, source, endpoints).run())
    start("workloads", lambda: workloads.run(client, source, control))
    router = cluster.ground.namespaces[ROUTER]
    start("router", lambda: Router(source, cluster.ground.topology, router).run())
    machine = this_machine()
    for node in cluster.ground.topology.nodes:
        proxy = _proxy(cluster, node, tasks)
        start(f"kproxy {node.name}", proxy.run)
        kubelet = cluster.kubelets[node.name] = _kubelet(cluster, node, machine, tasks)
        tainted = node.control_plane and len(cluster.ground.topology.nodes) > 1
        start(f"kubelet {node.name}", partial(kubelet.run, tainted=tainted))
    ground = cluster.ground
    outer = ground.namespaces[CLIENT]
    start("outside", lambda: outside.run(ground.topology, outer, ground.processes, ground.folder))
    for recorder in (endpoints, control):
        start(f"events of {recorder.component}", recorder.run)
    start("source", source.run)


def _proxy(cluster: Cluster, node: NodeSpec, tasks: asyncio.TaskGroup) -> Proxy:
    backend = backends.load(cluster.ground.config.backend)(InNamespace(cluster.ground.namespaces[node.name].fd))
    missing = backend.missing()
    if missing:
        raise Unsupported(f"the {backend.name} backend cannot run here: {missing}; choose another with --backend")
    recorder = Recorder("kproxy", cluster.client)
    events = f"events of kproxy {node.name}"
    tasks.create_task(kept(events, recorder.run), name=events)
    settings = ProxySettings(service_cidrs=SERVICE_CIDRS)
    return Proxy(cluster.source, node.name, backend, recorder=recorder, settings=settings)


def _kubelet(cluster: Cluster, node: NodeSpec, machine: Machine, tasks: asyncio.TaskGroup) -> Kubelet:
    source = cluster.source
    recorder = Recorder("kubelet", cluster.client)
    events = f"events of kubelet {node.name}"
    tasks.create_task(kept(events, recorder.run), name=events)
    namespace = cluster.ground.namespaces[node.name]
    surroundings = Surroundings(
        node=node,
        network=namespace,
        client=cluster.client,
        recorder=recorder,
        processes=cluster.ground.processes,
        services=source.cache(SERVICES, decode.service),
        config_maps=source.cache(CONFIG_MAPS, same),
        secrets=source.cache(SECRETS, same),
        accounts=source.cache(SERVICE_ACCOUNTS, same),
        volume_claims=source.cache(PERSISTENT_VOLUME_CLAIMS, same),
        folder=cluster.ground.folder.pods,
        claims=cluster.ground.folder.claims,
        kubeconfig=cluster.ground.folder.pod_kubeconfig,
        dns_address=system.DNS_ADDRESS,
        zone=system.ZONE,
        authority=cluster.ground.trust.root,
        host_resolv_conf=outside.resolv_conf(cluster.ground.topology),
        log_times=cluster.ground.log_times,
        handed={system.HOST_INGRESS: cluster.ground.sockets.ingress},
    )
    return Kubelet(surroundings, PodNetwork(node, namespace), source.cache(PODS, same), machine)


def this_machine() -> Machine:
    """What the nodes tell of the machine they are on."""
    release = _os_release()
    return Machine(
        kernel=platform.release(),
        system=release.get("PRETTY_NAME", platform.system()),
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def _listening(namespace: Namespace, address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = namespace.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((str(address), port))
    sock.listen(_BACKLOG)
    return sock
