"""The controllers against a real API server, with a small kubelet that speaks the API and runs nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from kapi.cache import Cache, Change
from kapi.client import Client
from kapi.errors import Forbidden, NotFound
from kapi.events import Recorder
from kapi.informer import Informer
from kapi.resources import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    NETWORK_POLICIES,
    NODES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kapi.transport import Request, Transport
from netnslab import workloads

Json = dict[str, Any]

LABELS = {"app": "web"}
POOL = ip_network("203.0.113.0/30")  # two addresses


class Kubelet:
    """Marks pods that are bound as ready, and lets go of those that are deleted, for all nodes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: asyncio.TaskGroup | None = None
        self.broken: set[str] = set()  # images whose pods never become ready
        self.lingering = asyncio.Event()  # while not set, deleted pods stay
        self.lingering.set()

    async def run(self) -> None:
        cache: Cache[Json] = Cache(PODS, lambda obj: obj)
        async with asyncio.TaskGroup() as self._tasks:
            cache.listen(self._changed)
            await Informer(self._client, cache).run()

    def _changed(self, change: Change[Json]) -> None:
        pod, old = change.new, change.old or {"spec": {}, "metadata": {}}
        assert self._tasks is not None
        if pod is None or not pod["spec"].get("nodeName"):
            return
        if "deletionTimestamp" in pod["metadata"]:
            if "deletionTimestamp" not in old["metadata"]:
                self._tasks.create_task(self._end(pod))
        elif not old["spec"].get("nodeName") and pod["spec"]["containers"][0]["image"] not in self.broken:
            self._tasks.create_task(self._ready(pod))

    async def _ready(self, pod: Json) -> None:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        await self._quietly(
            self._client.patch(
                PODS,
                pod["metadata"]["name"],
                {"status": {"phase": "Running", "conditions": [ready]}},
                pod["metadata"]["namespace"],
                subresource="status",
            )
        )

    async def _end(self, pod: Json) -> None:
        await self.lingering.wait()
        meta = pod["metadata"]
        await self._quietly(self._client.delete(PODS, meta["name"], meta["namespace"], grace_seconds=0))

    @staticmethod
    async def _quietly(call: Awaitable[Any]) -> None:
        try:
            await call
        except NotFound:
            return


class Quota:
    """A transport that lets only so many pods be created, as a ResourceQuota would."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.stream = inner.stream
        self.close = inner.close
        self.left = 1000
        self.refused = 0
        self.causes: list[Json] = []

    async def send(self, request: Request) -> Json:
        if request.method == "POST" and request.path.endswith("/pods"):
            if not self.left:
                self.refused += 1
                why = {"message": "exceeded quota", "reason": "Forbidden", "code": 403}
                raise Forbidden(why | {"details": {"causes": self.causes}})
            self.left -= 1
        return await self._inner.send(request)


class Lab:
    """A server, three workers, the controllers and a kubelet."""

    def __init__(self, client: Client, quota: Quota) -> None:
        self.client = client
        self.quota = quota
        self.kubelet = Kubelet(client)

    async def node(self, name: str, **spec: Any) -> None:
        await self.client.create(NODES, {"metadata": {"name": name}, "spec": spec})

    async def pods(self) -> list[Json]:
        return (await self.client.list(PODS, "default")).items

    async def count(self, *, ready: bool = True) -> int:
        """How many pods are ready, and not being deleted."""
        alive = [pod for pod in await self.pods() if "deletionTimestamp" not in pod["metadata"]]
        return sum(_is_ready(pod) or not ready for pod in alive)

    async def bound(self) -> int:
        """How many pods have a node."""
        return sum("nodeName" in pod["spec"] for pod in await self.pods())

    async def status(self, resource: Resource, field: str) -> Any:
        return ((await self.client.get(resource, "web", "default")).get("status") or {}).get(field)

    async def scale(self, resource: Resource, replicas: int) -> None:
        await self.client.patch(resource, "web", {"spec": {"replicas": replicas}}, "default")

    async def image(self, image: str) -> None:
        """Change the Deployment's template."""
        await self.client.patch(DEPLOYMENTS, "web", {"spec": {"template": template(image)}}, "default")

    async def images(self) -> dict[str, int]:
        """The images of the pods that are not being deleted."""
        alive = (pod for pod in await self.pods() if "deletionTimestamp" not in pod["metadata"])
        return dict(Counter(pod["spec"]["containers"][0]["image"] for pod in alive))

    async def rolled_out(self) -> bool:
        """What `kubectl rollout status` waits for."""
        found = await self.client.get(DEPLOYMENTS, "web", "default")
        status, wanted = found.get("status") or {}, found["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration") == found["metadata"].get("generation", 0) and counts == [wanted] * 3

    async def becomes(self, expected: Any, question: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Wait until an answer is as expected; fail with what it is instead."""
        deadline = time.monotonic() + 4
        while (found := await question(*arguments)) != expected:
            assert time.monotonic() < deadline, f"{question.__name__}{arguments} is {found}, not {expected}"
            await asyncio.sleep(0.002)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def template(image: str = "v1", **spec: Any) -> Json:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def workload(replicas: int, **spec: Any) -> Json:
    given = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template()}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": given | spec}


@asynccontextmanager
async def running() -> AsyncIterator[Lab]:
    async with ApiServer(MemoryStore()) as server:
        quota = Quota(server.client().transport)
        client = Client(quota)
        lab, source, recorder = Lab(client, quota), ApiSource(client), Recorder("workloads", client)
        settings = workloads.Settings(pools=(POOL,))
        async with asyncio.TaskGroup() as group:
            parts = (source.run(), recorder.run(), lab.kubelet.run(), workloads.run(client, source, recorder, settings))
            tasks = [group.create_task(part) for part in parts]
            taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
            await lab.node("control-plane", taints=[taint])
            for name in ("w1", "w2", "w3"):
                await lab.node(name)
            yield lab
            for task in tasks:
                task.cancel()


KINDS = {
    REPLICATION_CONTROLLERS: workload(3, selector=LABELS),
    REPLICA_SETS: workload(3),
    DEPLOYMENTS: workload(3),
}


@pytest.mark.parametrize("resource", KINDS, ids=lambda resource: resource.kind)
async def test_the_number_of_ready_pods_follows_the_number_of_replicas(resource: Resource) -> None:
    async with running() as lab:
        await lab.client.create(resource, KINDS[resource])
        await lab.becomes(3, lab.count)
        await lab.becomes(3, lab.status, resource, "readyReplicas")
        await lab.scale(resource, 5)
        await lab.becomes(5, lab.count)
        await lab.scale(resource, 1)
        await lab.becomes(1, lab.count)
        await lab.becomes(1, lab.status, resource, "availableReplicas")
        assert {pod["spec"]["nodeName"] for pod in await lab.pods()} <= {"w1", "w2", "w3"}


async def test_a_pod_that_is_deleted_is_replaced_at_once_even_while_it_lingers() -> None:
    async with running() as lab:
        await lab.client.create(DEPLOYMENTS, workload(3))
        await lab.becomes(3, lab.count)
        lab.kubelet.lingering.clear()
        gone = (await lab.pods())[0]["metadata"]["name"]
        await lab.client.delete(PODS, gone, "default")
        await lab.becomes(3, lab.count)
        assert len(await lab.pods()) == 4
        lab.kubelet.lingering.set()


async def test_a_pod_that_failed_is_replaced() -> None:
    async with running() as lab:
        await lab.client.create(REPLICA_SETS, workload(2))
        await lab.becomes(2, lab.count)
        failed = (await lab.pods())[0]["metadata"]["name"]
        patch = {"status": {"phase": "Failed", "conditions": []}}
        await lab.client.patch(PODS, failed, patch, "default", subresource="status")
        await lab.becomes(2, lab.count)


async def test_a_rollout_replaces_every_pod_and_never_has_too_few() -> None:
    async with running() as lab:
        strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await lab.client.create(DEPLOYMENTS, workload(4, strategy=strategy))
        await lab.becomes(True, lab.rolled_out)
        await lab.image("v2")
        while await lab.images() != {"v2": 4}:
            assert await lab.count() >= 4
            assert await lab.count(ready=False) <= 5
            await asyncio.sleep(0)
        await lab.becomes(True, lab.rolled_out)


async def test_a_rollout_that_does_not_work_stops_and_can_be_undone() -> None:
    async with running() as lab:
        await lab.client.create(DEPLOYMENTS, workload(4))
        await lab.becomes(True, lab.rolled_out)
        lab.kubelet.broken.add("bad")
        await lab.image("bad")
        await lab.becomes({"v1": 3, "bad": 2}, lab.images)
        assert not await lab.rolled_out()
        await lab.image("v1")
        await lab.becomes({"v1": 4}, lab.images)
        await lab.becomes(True, lab.rolled_out)
        revision = (await lab.client.get(DEPLOYMENTS, "web", "default"))["metadata"]["annotations"]
        assert revision["deployment.kubernetes.io/revision"] == "3"


async def test_recreate_never_runs_old_and_new_pods_together() -> None:
    async with running() as lab:
        await lab.client.create(DEPLOYMENTS, workload(3, strategy={"type": "Recreate"}))
        await lab.becomes(True, lab.rolled_out)
        lab.kubelet.lingering.clear()
        await lab.image("v2")
        await lab.becomes({}, lab.images)
        await asyncio.sleep(0.03)
        assert await lab.images() == {}
        lab.kubelet.lingering.set()
        await lab.becomes({"v2": 3}, lab.images)
        await lab.becomes(True, lab.rolled_out)


async def test_a_pod_that_changes_its_label_is_released_and_replaced() -> None:
    async with running() as lab:
        await lab.client.create(REPLICA_SETS, workload(2))
        await lab.becomes(2, lab.count)
        name = (await lab.pods())[0]["metadata"]["name"]
        await lab.client.patch(PODS, name, {"metadata": {"labels": {"app": "debug"}}}, "default")
        await lab.becomes(3, lab.count)
        assert not (await lab.client.get(PODS, name, "default"))["metadata"].get("ownerReferences")
        await lab.client.patch(PODS, name, {"metadata": {"labels": LABELS}}, "default")
        await lab.becomes(2, lab.count)


async def test_an_unschedulable_pod_says_why_and_goes_where_room_appears() -> None:
    async with running() as lab:
        spec = {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "i"}]}
        await lab.client.create(PODS, {"metadata": {"name": "picky", "namespace": "default"}, "spec": spec})

        async def told() -> bool:
            conditions = ((await lab.client.get(PODS, "picky", "default")).get("status") or {}).get("conditions") or ()
            return any(c["type"] == "PodScheduled" and c["reason"] == "Unschedulable" for c in conditions)

        async def reasons() -> set[str]:
            events = (await lab.client.list(EVENTS, "default")).items
            return {event["reason"] for event in events} & {"FailedScheduling"}

        await lab.becomes(True, told)
        await lab.becomes({"FailedScheduling"}, reasons)
        await lab.client.patch(NODES, "w2", {"metadata": {"labels": {"disk": "ssd"}}})
        await lab.becomes(1, lab.count)
        assert (await lab.pods())[0]["spec"]["nodeName"] == "w2"


async def test_pods_the_server_refuses_are_told_and_tried_sparingly_until_it_takes_them() -> None:
    async with running() as lab:
        lab.quota.left = 5
        await lab.client.create(REPLICA_SETS, workload(50))
        await lab.becomes(5, lab.count)

        async def reasons() -> set[str]:
            return {event["reason"] for event in (await lab.client.list(EVENTS, "default")).items}

        await lab.becomes({"SuccessfulCreate", "FailedCreate", "Scheduled"}, reasons)
        assert lab.quota.refused < 10
        lab.quota.left = 1000
        await lab.becomes(50, lab.count)


@pytest.mark.parametrize(
    "resource", [REPLICATION_CONTROLLERS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS], ids=lambda resource: resource.kind
)
async def test_the_status_is_written_while_the_server_refuses_pods(resource: Resource) -> None:
    async with running() as lab:
        lab.quota.left = 0
        obj = workload(3, **({"selector": LABELS} if resource == REPLICATION_CONTROLLERS else {}))
        await lab.client.create(resource, obj)
        await lab.becomes(1, lab.status, resource, "observedGeneration")


async def test_a_job_counts_while_the_server_refuses_pods() -> None:
    async with running() as lab:
        lab.quota.left = 1
        spec = {"completions": 2, "template": template(restartPolicy="Never")}
        await lab.client.create(JOBS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        await lab.becomes(1, lab.count)
        (pod,) = await lab.pods()
        await lab.client.patch(
            PODS, pod["metadata"]["name"], {"status": {"phase": "Succeeded"}}, "default", subresource="status"
        )
        await lab.becomes(1, lab.status, JOBS, "succeeded")
        (pod,) = await lab.pods()
        assert not pod["metadata"].get("finalizers")


async def test_a_pod_is_not_made_when_a_claim_of_it_cannot_be() -> None:
    async with running() as lab:
        asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"metadata": {"name": "DATA"}, "spec": asked}
        await lab.client.create(STATEFUL_SETS, workload(1, serviceName="web", volumeClaimTemplates=[claim]))

        async def told() -> set[str]:
            return {event["reason"] for event in (await lab.client.list(EVENTS, "default")).items}

        await lab.becomes({"FailedCreate"}, told)
        assert not await lab.pods()


async def test_in_a_namespace_that_is_being_deleted_nothing_is_tried_again() -> None:
    async with running() as lab:
        lab.quota.left = 0
        lab.quota.causes = [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
        await lab.client.create(REPLICA_SETS, workload(3))
        await lab.becomes(0, lab.status, REPLICA_SETS, "replicas")
        await asyncio.sleep(0.05)
        refused = lab.quota.refused
        await asyncio.sleep(0.15)  # tries after a failure come within milliseconds, and then half as often each time
        assert 0 < lab.quota.refused == refused
        assert not (await lab.client.list(EVENTS, "default")).items


async def test_objects_that_nobody_acts_on_are_told_of_once() -> None:
    async with running() as lab:
        once = template()
        once["spec"]["restartPolicy"] = "Never"
        spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": once}}}
        await lab.client.create(CRON_JOBS, {"metadata": {"name": "often"}, "spec": spec}, "default")
        scaler = {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}
        await lab.client.create(HORIZONTAL_POD_AUTOSCALERS, {"metadata": {"name": "web"}, "spec": scaler}, "default")
        policy = {"metadata": {"name": "none"}, "spec": {"podSelector": {}}}
        await lab.client.create(NETWORK_POLICIES, policy, "default")

        async def told() -> set[tuple[str, str]]:
            events = (await lab.client.list(EVENTS, "default")).items
            return {(e["involvedObject"]["kind"], e["message"]) for e in events if e["reason"] == "NotActedOn"}

        keeps = "this lab keeps a"
        expected = {
            ("CronJob", f"{keeps} CronJob and does not act on it: no pods come of it"),
            (
                "HorizontalPodAutoscaler",
                f"{keeps} HorizontalPodAutoscaler and does not act on it: nothing is scaled by it",
            ),
            (
                "NetworkPolicy",
                f"{keeps} NetworkPolicy and does not act on it: "
                "all connections are let through, as if it were not there",
            ),
        }
        await lab.becomes(expected, told)
        await lab.client.patch(CRON_JOBS, "often", {"metadata": {"labels": {"a": "b"}}}, "default")
        await lab.becomes(expected, told)


async def balancer(lab: Lab, name: str, **spec: Any) -> None:
    given = {"type": "LoadBalancer", "ports": [{"port": 80}], "ipFamilies": ["IPv4"]}
    await lab.client.create(SERVICES, {"metadata": {"name": name, "namespace": "default"}, "spec": given | spec})


async def addresses(lab: Lab) -> dict[str, list[str]]:
    return {
        service["metadata"]["name"]: [
            ingress["ip"] for ingress in (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or ()
        ]
        for service in (await lab.client.list(SERVICES, "default")).items
        if service["metadata"]["name"] != "kubernetes"
    }


async def test_load_balancers_share_the_pool_and_wait_for_what_is_freed() -> None:
    async with running() as lab:
        for name in ("a", "b", "c"):
            await balancer(lab, name)
        await balancer(lab, "foreign", loadBalancerClass="example.com/other")
        expected = {"a": ["203.0.113.1"], "b": ["203.0.113.2"], "c": [], "foreign": []}
        await lab.becomes(expected, addresses, lab)
        await lab.client.delete(SERVICES, "a", "default")
        await lab.becomes({"b": ["203.0.113.2"], "c": ["203.0.113.1"], "foreign": []}, addresses, lab)
        await balancer(lab, "d")
        plain = {"type": "ClusterIP", "ports": [{"port": 80}], "externalTrafficPolicy": None}
        plain["allocateLoadBalancerNodePorts"] = None
        await lab.client.patch(SERVICES, "b", {"spec": plain}, "default")
        await lab.becomes({"b": [], "c": ["203.0.113.1"], "d": ["203.0.113.2"], "foreign": []}, addresses, lab)


async def test_a_hundred_pods_are_made_and_placed_in_well_under_a_second_and_a_half() -> None:
    async with running() as lab:
        started = time.monotonic()
        await lab.client.create(DEPLOYMENTS, workload(100))
        await lab.becomes(100, lab.bound)
        took = time.monotonic() - started
        assert took < 1.5
        assert set(Counter(pod["spec"]["nodeName"] for pod in await lab.pods()).values()) == {33, 34}
