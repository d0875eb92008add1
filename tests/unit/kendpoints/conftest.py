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

from kapi.client import Client
from kapi.errors import NotFound
from kapi.events import Recorder
from kapi.network import ContainerPort, Endpoint, EndpointSlice, Node, Pod, Protocol, Service, ServicePort, ServiceType
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, EVENTS, NODES, PODS, SERVICES
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kapi.transport import Request, Transport
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


class Lagging:
    """A transport whose watches stand still while `flowing` is not set: caches behind it grow stale.

    `writes` lists what was sent to change something.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.writes: list[str] = []

    async def send(self, request: Request) -> Json:
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.path}")
        return await self._inner.send(request)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Json]]:
        async with self._inner.stream(request) as events:
            yield self._held(events)

    async def close(self) -> None:
        await self._inner.close()

    async def _held(self, events: AsyncIterator[Json]) -> AsyncIterator[Json]:
        async for event in events:
            await self.flowing.wait()
            yield event


class Cluster:
    """What a test does to the cluster, in as few words as can be."""

    def __init__(self, client: Client, settings: Settings = SETTINGS) -> None:
        self.client = client
        self.settings = settings
        self.lagging = Lagging(client.transport)
        self.recorder = Recorder("endpoints", client)
        self._tasks: asyncio.Task[None] | None = None
        self.controller: Controller | None = None
        self.twin: Cluster | None = None

    def start(self) -> None:
        """Start a controller that knows nothing yet."""
        self._tasks = asyncio.create_task(self._run())

    async def _run(self) -> None:
        client = Client(self.lagging)
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
        await self.stop()
        if self.twin is not None:
            await self.twin.stop()

    async def toggle_twin(self) -> None:
        """Start a second controller, or stop it."""
        if self.twin is not None:
            await self.twin.stop()
            self.twin = None
        else:
            self.twin = Cluster(self.client, self.settings)
            self.twin.start()

    @property
    def idle(self) -> bool:
        """Whether every controller has done what it has heard of."""
        mine = self.controller is not None and self.controller.idle
        return mine and (self.twin is None or self.twin.idle)

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
        status = {"phase": phase, "podIPs": [{"ip": ip or f"10.244.0.{number + 1}"}], "conditions": [condition]}
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
        """Wait until the controller has heard of everything and has nothing to do."""
        quiet = 0
        while quiet < 5:
            await asyncio.sleep(0.0015)
            quiet = quiet + 1 if self.idle else 0

    async def written(self) -> Json:
        """What there is, in the oracle's words."""
        found: Json = {}
        for one in (await self.client.list(ENDPOINT_SLICES, NAMESPACE)).items:
            service = one["metadata"]["labels"]["kubernetes.io/service-name"]
            if service == "kubernetes":
                continue  # the API server's own
            members = found.setdefault(service, Counter())
            for endpoint in one["endpoints"] or ():
                state = tuple(endpoint["conditions"][name] for name in ("ready", "serving", "terminating"))
                members[endpoint["addresses"][0], state, tuple(p["port"] for p in one["ports"] or ())] += 1
        return found

    async def wanted(self) -> Json:
        """The oracle: for each Service the endpoints it must have, each exactly once."""
        pods = (await self.client.list(PODS, NAMESPACE)).items
        nodes = {node["metadata"]["name"] for node in (await self.client.list(NODES)).items}
        found: Json = {}
        for service in (await self.client.list(SERVICES, NAMESPACE)).items:
            selector = service["spec"].get("selector")
            if selector is None:
                continue
            chosen = (p for p in pods if selector.items() <= (p["metadata"].get("labels") or {}).items())
            members = (_endpoint(pod) for pod in chosen if pod["spec"]["nodeName"] in nodes)
            found[service["metadata"]["name"]] = Counter(member for member in members if member)
        return found

    async def endpoints(self, name: str) -> list[str]:
        """The ready addresses of an Endpoints object."""
        try:
            found = await self.client.get(ENDPOINTS, name, NAMESPACE)
        except NotFound:
            return ["gone"]
        return sorted(a["ip"] for s in found.get("subsets") or () for a in s.get("addresses") or ())


def _endpoint(pod: Json) -> tuple[Any, ...] | None:
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed") or not status.get("podIPs"):
        return None
    serving = status["conditions"][0]["status"] == "True"
    terminating = "deletionTimestamp" in pod["metadata"]
    ports = (pod["spec"]["containers"][0]["ports"][0]["containerPort"],)
    return status["podIPs"][0]["ip"], (serving and not terminating, serving, terminating), ports


@asynccontextmanager
async def _cluster(
    settings: Settings = SETTINGS, *, server: ApiServer | None = None, start: bool = True
) -> AsyncIterator[Cluster]:
    """A cluster with two nodes and, if it is to `start`, a controller in this process."""
    async with AsyncExitStack() as stack:
        if server is None:
            server = await stack.enter_async_context(ApiServer(MemoryStore()))
        made = Cluster(server.client(), settings)
        if start:
            made.start()
        stack.push_async_callback(made.stop_all)
        await made.node("a")
        await made.node("b")
        yield made
