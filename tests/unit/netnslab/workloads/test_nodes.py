"""Nodes that fall silent: their pods' endpoints leave in time, and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kapi.client import Client
from kapi.errors import NotFound
from kapi.events import Recorder, now
from kapi.network import Reference
from kapi.resources import ENDPOINT_SLICES, EVENTS, LEASES, NODES, PODS, SERVICES
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kendpoints.controller import Controller
from netnslab import workloads
from netnslab.workloads.actions import Action, Delete, Patch
from netnslab.workloads.nodes import LEASE_NAMESPACE, LOOKS, NODE_SILENT, POD_OF_SILENT, Lease, Pulses, decide
from netnslab.workloads.values import Identity, Node, Pod

Json = dict[str, Any]

GRACE = 0.8
RENEWAL = 0.1


def looked(renewals: list[str], *, absent: tuple[str, ...] = ()) -> Pulses:
    """What is known after one look for each of these renewals of node a."""
    pulses = Pulses()
    for renewed in renewals:
        pulses = pulses.look([Lease(LEASE_NAMESPACE, "a", renewed)] if renewed else [], absent)
    return pulses


@pytest.mark.parametrize(
    ("renewals", "silent", "beating"),
    [
        ([], False, False),
        ([""] * 9, False, False),
        (["1"], False, True),
        (["1", "1", "1"], False, False),
        (["1", "1", "1", "1"], True, False),
        (["1", "1", "1", "1", "2"], False, True),
        (["1", "1", "2", "2", "2"], False, False),
    ],
    ids=str,
)
def test_a_node_is_silent_after_as_many_looks_without_a_renewal(
    renewals: list[str], silent: bool, beating: bool
) -> None:
    pulses = looked(renewals)
    assert (pulses.silent("a"), pulses.beating("a")) == (silent, beating)


def test_a_lease_of_another_namespace_is_no_heartbeat() -> None:
    pulses = Pulses()
    for _ in range(LOOKS):
        pulses = pulses.look([Lease("kube-system", "a", "1")], ())
    assert not pulses.silent("a")


SILENT, ALIVE = looked(["1"] * LOOKS), looked(["1", "2"])
NODE = Node(Identity("", "a"))
MARKED = Node(Identity("", "a"), ready=False, ready_reason=NODE_SILENT)
BROKEN = Node(Identity("", "a"), ready=False, ready_reason="KubeletNotReady")


def pod(**fields: Any) -> dict[str, dict[str, Pod]]:
    return {"a": {"default/p": Pod(Identity("default", "p", "u"), node_name="a", **fields)}}


def written(actions: tuple[Action, ...]) -> list[tuple[str, str]]:
    """The objects whose Ready condition is written, and how."""
    patches = (action for action in actions if isinstance(action, Patch))
    return [(patch.key, patch.patch["status"]["conditions"][0]["status"]) for patch in patches]


@pytest.mark.parametrize(
    ("pulses", "node", "pods", "expected"),
    [
        (SILENT, NODE, pod(ready=True), [("a", "Unknown"), ("default/p", "False")]),
        (SILENT, NODE, pod(ready=False), [("a", "Unknown")]),
        (SILENT, MARKED, pod(ready_reason=POD_OF_SILENT), []),
        (SILENT, MARKED, pod(ready=True), [("default/p", "False")]),
        (ALIVE, MARKED, pod(ready_reason=POD_OF_SILENT), [("a", "True"), ("default/p", "True")]),
        (ALIVE, MARKED, pod(ready_reason="ContainersNotReady"), [("a", "True")]),
        (ALIVE, BROKEN, pod(ready_reason="ContainersNotReady"), []),
        (ALIVE, NODE, pod(ready=True), []),
        (Pulses(), NODE, pod(ready=True), []),
    ],
)
def test_only_what_the_silence_explains_is_marked_and_taken_back(
    pulses: Pulses, node: Node, pods: dict[str, dict[str, Pod]], expected: list[tuple[str, str]]
) -> None:
    assert written(decide(pulses, {"a": node}, pods, "now")) == expected


def test_pods_of_a_node_that_is_gone_are_deleted_without_grace_but_not_at_once() -> None:
    pods = pod(ready=True)
    assert decide(looked([""] * (LOOKS - 1), absent=("a",)), {}, pods, "now") == ()
    about = Reference("Pod", "default", "p", "u")
    found = decide(looked([""] * LOOKS, absent=("a",)), {}, pods, "now")
    assert found == (Delete(PODS, "default/p", "u", about, grace=0),)


class Lab:
    """A cluster with one node whose heart can be stopped, and a pod on it behind a Service."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.beating = True

    async def build(self) -> None:
        client, selector = self.client, {"app": "web"}
        await client.create(NODES, {"metadata": {"name": "a"}})
        spec = {"clusterIP": "None", "ipFamilies": ["IPv4"], "selector": selector, "ports": [{"port": 80}]}
        await client.create(SERVICES, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        meta = {"name": "p", "namespace": "default", "labels": selector}
        containers = [{"name": "c", "image": "i"}]
        await client.create(PODS, {"metadata": meta, "spec": {"nodeName": "a", "containers": containers}})
        conditions = [{"type": kind, "status": "True"} for kind in ("Initialized", "Ready")]
        status = {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "conditions": conditions}
        await client.patch(PODS, "p", {"status": status}, "default", subresource="status")

    async def beat(self) -> None:
        """Renew the node's Lease, as a kubelet does."""
        meta = {"name": "a", "namespace": LEASE_NAMESPACE}
        await self.client.create(LEASES, {"metadata": meta, "spec": {"holderIdentity": "a"}})
        while True:
            if self.beating:
                patch = {"spec": {"renewTime": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
                await self.client.patch(LEASES, "a", patch, LEASE_NAMESPACE)
            await asyncio.sleep(RENEWAL)

    async def ready(self) -> list[bool]:
        slices = (await self.client.list(ENDPOINT_SLICES, "default", labels="kubernetes.io/service-name=web")).items
        return [endpoint["conditions"]["ready"] for one in slices for endpoint in one["endpoints"]]

    async def conditions(self, resource: Any, name: str, namespace: str | None = None) -> dict[str, str]:
        found = (await self.client.get(resource, name, namespace))["status"]["conditions"]
        return {condition["type"]: condition["status"] for condition in found}

    async def becomes(self, expected: Any, question: Callable[..., Awaitable[Any]]) -> float:
        """Wait until an answer is as expected; gives how long it took, in seconds."""
        began = time.monotonic()
        while (found := await question()) != expected:
            assert time.monotonic() < began + 15, f"{found}, not {expected}"
            await asyncio.sleep(0.01)
        return time.monotonic() - began


@asynccontextmanager
async def running() -> AsyncIterator[Lab]:
    async with ApiServer(MemoryStore()) as server:
        client = server.client()
        lab, source, recorder = Lab(client), ApiSource(client), Recorder("lab", client)
        settings = workloads.Settings(node_grace=GRACE)
        await lab.build()
        async with asyncio.TaskGroup() as group:
            parts = [source.run(), recorder.run(), lab.beat(), Controller(client, source, recorder).run()]
            tasks = [group.create_task(part) for part in (*parts, workloads.run(client, source, recorder, settings))]
            await lab.becomes([True], lab.ready)
            yield lab
            for task in tasks:
                task.cancel()


async def test_the_endpoints_of_a_silent_node_leave_within_the_grace_and_come_back() -> None:
    async with running() as lab:
        await asyncio.sleep(GRACE)
        assert await lab.ready() == [True], "a node that renews is left alone"
        lab.beating = False
        took = await lab.becomes([False], lab.ready)
        assert took <= GRACE + 0.5, "half a second for a busy machine"
        assert await lab.conditions(NODES, "a") == {"Ready": "Unknown"}
        assert await lab.conditions(PODS, "p", "default") == {"Initialized": "True", "Ready": "False"}
        (said,) = (await lab.client.get(NODES, "a"))["status"]["conditions"]
        assert (said["reason"], said["message"]) == (NODE_SILENT, "the node has stopped renewing its lease")
        lab.beating = True
        await lab.becomes([True], lab.ready)
        assert await lab.conditions(NODES, "a") == {"Ready": "True"}
        reasons = [event["reason"] for event in (await lab.client.list(EVENTS, "default")).items]
        assert {"NodeNotReady", "NodeReady"} <= set(reasons)


async def test_the_pods_of_a_deleted_node_go_and_their_endpoints_with_them() -> None:
    async with running() as lab:
        await lab.client.delete(NODES, "a")
        await lab.becomes([], lab.ready)

        async def gone() -> bool:
            try:
                await lab.client.get(PODS, "p", "default")
            except NotFound:
                return True
            return False

        await lab.becomes(True, gone)
