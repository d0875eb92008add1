"""Short words for the tests of the endpoints controller: values to decide on, and a cluster to act in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from tests.unit.kendpoints import oracle
from tests.unit.kendpoints.trouble import Troubled

from kapi.client import Client
from kapi.errors import NotFound
from kapi.events import Recorder
from kapi.network import ContainerPort, Endpoint, EndpointSlice, Node, Pod, Protocol, Service, ServicePort, ServiceType
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, EVENTS, NODES, PODS, SERVICES
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kendpoints.controller import Controller, Settings
from kendpoints.pack import Changes

Json = dict[str, Any]

TCP = Protocol.TCP
HTTP = ServicePort("http", TCP, 80, "http")
NAMESPACE = "default"
LIMIT = 3
PATIENCE = 20.0  # seconds; a busy machine may start a process slowly
SETTINGS = Settings(max_endpoints_per_slice=LIMIT, repair_delay=0.01)


class Build:
    """Makes values with sensible defaults; every argument is a field."""

    @staticmethod
    def service(name: str = "web", **fields: Any) -> Service:
        given: dict[str, Any] = {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "type": ServiceType.CLUSTER_IP,
            "headless": False,
            "cluster_ips": (ip_address("10.96.0.5"),),
            "ports": (HTTP,),
            "selector": {"app": "web"},
            "ip_families": (4,),
            "created": "2026-01-01T00:00:00Z",
        }
        return Service(**(given | fields))

    @staticmethod
    def pod(number: int = 1, **fields: Any) -> Pod:
        given: dict[str, Any] = {
            "namespace": "default",
            "name": f"web-{number:04}",
            "uid": f"uid-{number}",
            "phase": "Running",
            "ips": (ip_address(f"10.244.{number // 250}.{number % 250 + 1}"),),
            "node_name": "a",
            "ready": True,
            "labels": {"app": "web"},
            "ports": (ContainerPort("http", TCP, 8080),),
        }
        return Pod(**(given | fields))

    @staticmethod
    def pods(count: int, start: int = 1) -> list[Pod]:
        return [Build.pod(number) for number in range(start, start + count)]

    @staticmethod
    def nodes(**zones: str) -> dict[str, Node]:
        zones = zones or {"a": ""}
        labels = {name: {"topology.kubernetes.io/zone": zone} if zone else {} for name, zone in zones.items()}
        return {name: Node(name, f"uid-{name}", labels=labels[name]) for name in zones}

    @staticmethod
    def written(changes: Changes, existing: list[EndpointSlice] | None = None) -> list[EndpointSlice]:
        """Give the slices as they are after the changes were written."""
        gone = {one.name for one in (*changes.delete, *changes.update)}
        kept = [one for one in existing or [] if one.name not in gone]
        taken = {one.name for one in kept} | {one.name for one in changes.update}
        names = (name for n in range(10_000) if (name := f"s{n:03}") not in taken)
        made = [replace(one, name=name, uid=name) for one, name in zip(changes.create, names, strict=False)]
        return [*kept, *changes.update, *made]

    @staticmethod
    def addresses(slices: list[EndpointSlice]) -> list[str]:
        return sorted(str(endpoint.addresses[0]) for one in slices for endpoint in one.endpoints)

    @staticmethod
    def endpoint(number: int, **fields: Any) -> Endpoint:
        return Endpoint((ip_address(f"10.0.{number // 250}.{number % 250 + 1}"),), **fields)


@pytest.fixture(scope="session")  # it keeps nothing, and hypothesis may use it
def build() -> type[Build]:
    return Build


@pytest.fixture(scope="session")
def cluster() -> Callable[..., AbstractAsyncContextManager[Cluster]]:
    """`async with cluster() as here:` gives a cluster with two nodes and a running controller."""
    return _cluster


class Cluster:
    """What a test does to the cluster, in as few words as can be."""

    def __init__(self, client: Client, settings: Settings = SETTINGS, met: Counter[str] | None = None) -> None:
        self.client = client
        self.settings = settings
        self.trouble = Troubled(client.transport, met)
        self.recorder = Recorder("endpoints", client)
        self._tasks: asyncio.Task[None] | None = None
        self.controller: Controller | None = None
        self.twin: Cluster | None = None

    def start(self) -> None:
        """Start a controller that knows nothing yet."""
        self.controller = None
        self._tasks = asyncio.create_task(self._run())

    async def _run(self) -> None:
        client = Client(self.trouble)
        source = ApiSource(client)
        self.controller = Controller(client, source, self.recorder, self.settings)
        async with asyncio.TaskGroup() as tasks:
            for part in (source.run(), self.recorder.run(), self.controller.run()):
                tasks.create_task(part)

    async def stop(self) -> None:
        """Stop it wherever it is."""
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.gather(self._tasks, return_exceptions=True)

    async def stop_all(self) -> None:
        """Stop every controller."""
        for one in self.controllers:
            await one.stop()

    async def toggle_twin(self) -> None:
        """Start a second controller, or stop it."""
        if self.twin is not None:
            await self.twin.stop()
            self.twin = None
        else:
            self.twin = Cluster(self.client, self.settings, self.trouble.met)
            self.twin.start()

    @property
    def controllers(self) -> list[Cluster]:
        """This one's controller, and the second one where there is one."""
        return [self, self.twin] if self.twin is not None else [self]

    @property
    def idle(self) -> bool:
        """Whether the controller has done what it has heard of."""
        return self.controller is not None and self.controller.synced and self.controller.idle

    async def node(self, name: str) -> None:
        await self.client.create(NODES, {"metadata": {"name": name}})

    async def service(self, name: str, **spec: Any) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        given = {"clusterIP": "None", "ipFamilies": ["IPv4"], "selector": {"app": name}, "ports": ports}
        obj = {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": given | spec}
        obj["spec"] = {name: value for name, value in obj["spec"].items() if value is not None}
        await self.client.create(SERVICES, obj)

    async def pod(self, number: int, app: str = "web", *, node: str = "a", ready: bool = True) -> None:
        """Create a pod, already running."""
        container = {"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080 + number % 2}]}
        meta = {"name": f"p{number}", "namespace": NAMESPACE, "labels": {"app": app}}
        await self.client.create(PODS, {"metadata": meta, "spec": {"nodeName": node, "containers": [container]}})
        await self.status(number, ready=ready)

    async def status(self, number: int, *, ready: bool, phase: str = "Running", ip: str = "") -> None:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ips = [{"ip": ip or f"10.244.0.{number + 1}"}, {"ip": f"fd44::{number + 1:x}"}][: 2 - number % 2]
        status = {"phase": phase, "podIPs": ips, "conditions": [condition]}
        await self.client.patch(PODS, f"p{number}", {"status": status}, NAMESPACE, subresource="status")

    async def slices(self, service: str) -> list[Json]:
        labels = f"kubernetes.io/service-name={service}"
        return (await self.client.list(ENDPOINT_SLICES, NAMESPACE, labels=labels)).items

    async def addresses(self, service: str, condition: str = "ready") -> list[str]:
        """The endpoints of a Service that are in some condition."""
        endpoints = [e for one in await self.slices(service) for e in one["endpoints"] or ()]
        return sorted(e["addresses"][0] for e in endpoints if e["conditions"][condition])

    async def events(self) -> list[str]:
        return [event["message"] for event in (await self.client.list(EVENTS, NAMESPACE)).items]

    async def becomes(self, expected: Any, question: Any, *arguments: Any) -> None:
        """Wait until an answer is as expected; fail with what it is instead."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (found := await question(*arguments)) != expected:
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{question.__name__}{arguments} is {found}, not {expected}")
            await asyncio.sleep(0.002)

    async def at_rest(self) -> None:
        """Wait until every controller has heard of everything and has nothing to do."""
        quiet = 0
        while quiet < 5:
            await asyncio.sleep(0.0015)
            quiet = quiet + 1 if all(one.idle for one in self.controllers) else 0

    async def written(self) -> oracle.Found:
        return await oracle.written(self.client)

    async def wanted(self) -> oracle.Found:
        return await oracle.wanted(self.client)

    async def endpoints(self, name: str) -> list[str]:
        """The ready addresses of an Endpoints object."""
        try:
            found = await self.client.get(ENDPOINTS, name, NAMESPACE)
        except NotFound:
            return ["gone"]
        return sorted(a["ip"] for s in found.get("subsets") or () for a in s.get("addresses") or ())


@asynccontextmanager
async def _cluster(
    settings: Settings = SETTINGS,
    *,
    server: ApiServer | None = None,
    start: bool = True,
    met: Counter[str] | None = None,
) -> AsyncIterator[Cluster]:
    """A cluster with two nodes and, if it is to `start`, a controller in this process."""
    async with AsyncExitStack() as stack:
        if server is None:
            server = await stack.enter_async_context(ApiServer(MemoryStore()))
        made = Cluster(server.client(), settings, met)
        if start:
            made.start()
        stack.push_async_callback(made.stop_all)
        await made.node("a")
        await made.node("b")
        yield made
