"""Random histories of one workload: the same steps, taken in any cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.conformance.workloads.sides import BROKEN, Cluster, node_of, report

from kapi.errors import ApiError
from kapi.resources import DAEMON_SETS, JOBS, NAMESPACES, NODES, PODS, STATEFUL_SETS, Resource

Json = dict[str, Any]
Step = tuple[Any, ...]

NAME = "web"
LABELS = {"app": "web"}
PLACES = "abc"
HEARD = 0.5  # seconds in which controllers have heard of a change of a node
TAINTS: tuple[list[Json], ...] = ([], [{"key": "k", "effect": "NoSchedule"}], [{"key": "k", "effect": "NoExecute"}])
STRATEGIES: tuple[Json, ...] = (
    {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
    {"rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 0}},
    {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
)
CLAIMS = [
    {
        "metadata": {"name": "v"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
]


def template(image: str, **spec: Any) -> Json:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def workload(resource: Resource, random: Random, space: str) -> Json:
    """Draw a workload."""
    spec: Json = {"selector": {"matchLabels": LABELS}, "template": template("v1")}
    if resource == STATEFUL_SETS:
        policy = random.choice(("OrderedReady", "Parallel"))
        spec |= {"replicas": random.randrange(4), "serviceName": "s", "podManagementPolicy": policy}
        spec |= {"volumeClaimTemplates": CLAIMS} if random.random() < 0.5 else {}
    elif resource == DAEMON_SETS:
        spec |= {"template": template("v1", nodeSelector={"space": space}), "updateStrategy": random.choice(STRATEGIES)}
    else:
        mode, size = random.choice(("Indexed", "NonIndexed")), random.randrange(1, 5)
        policy = random.choice(("Failed", "TerminatingOrFailed"))
        spec = {"completionMode": mode, "completions": size, "parallelism": random.randrange(1, 4)}
        spec |= {"backoffLimit": random.randrange(2), "podReplacementPolicy": policy}
        spec |= {"template": template("v1", restartPolicy="Never"), "suspend": random.random() < 0.2}
        spec |= {"ttlSecondsAfterFinished": 1} if random.random() < 0.3 else {}
    return {"metadata": {"name": NAME, "namespace": space}, "spec": spec}


def history(resource: Resource, random: Random, length: int) -> Iterator[Step]:
    """Draw so many steps."""

    def number() -> int:
        return random.randrange(4)

    def image() -> str:
        return random.choice(("v1", "v2", "v3", BROKEN))

    drawn: dict[Resource, list[Callable[[], Step]]] = {
        STATEFUL_SETS: [
            lambda: ("change", {"replicas": number()}),
            lambda: ("change", {"template": template(image())}),
            lambda: ("change", {"template": template(image())}),
            lambda: ("change", {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number()}}}),
            lambda: ("change", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}),
            lambda: ("change", {"ordinals": {"start": number()}}),
            lambda: ("delete", f"{NAME}-{number()}"),
            lambda: ("report", f"{NAME}-{number()}", random.random() < 0.7, "Running"),
            lambda: ("report", f"{NAME}-{number()}", True, "Running"),
            lambda: ("report", f"{NAME}-{number()}", False, "Failed"),
        ],
        DAEMON_SETS: [
            lambda: ("image", random.choice(("v1", "v2", "v3"))),
            lambda: ("image", random.choice(("v1", "v2", "v3"))),
            lambda: ("change", {"updateStrategy": {"type": "RollingUpdate", **random.choice(STRATEGIES)}}),
            lambda: ("change", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}),
            lambda: ("node", random.choice(PLACES), random.choice(TAINTS), random.random() < 0.8),
            lambda: ("delete", random.choice(PLACES)),
            lambda: ("report", random.choice(PLACES), random.random() < 0.5, "Running"),
        ],
        JOBS: [
            lambda: ("report", number(), False, "Succeeded"),
            lambda: ("report", number(), False, "Succeeded"),
            lambda: ("report", number(), False, "Failed"),
            lambda: ("delete", number()),
            lambda: ("change", {"suspend": random.random() < 0.3}),
            lambda: ("change", {"parallelism": number()}),
            lambda: ("change", {"completions": (size := number()), "parallelism": size}),
        ],
    }
    for _ in range(length):
        yield random.choice(drawn[resource])()


async def begin(cluster: Cluster, resource: Resource, space: str, obj: Json) -> None:
    """Make the namespace, the nodes and the workload."""
    await cluster.client.create(NAMESPACES, {"metadata": {"name": space}})
    for place in PLACES if resource == DAEMON_SETS else "":
        await cluster.client.create(NODES, {"metadata": {"name": f"{space}-{place}", "labels": {"space": space}}})
    await cluster.client.create(resource, obj)


async def take(cluster: Cluster, resource: Resource, space: str, step: Step) -> None:
    """Take one step; what the API refuses, or has nothing to happen to, does not happen, in either cluster."""
    what, *given = step
    with contextlib.suppress(ApiError):
        if what == "change":
            await cluster.client.patch(resource, NAME, {"spec": given[0]}, space)
        elif what == "image":
            spec = {"template": {"spec": template(given[0])["spec"]}}
            await cluster.client.patch(resource, NAME, {"spec": spec}, space)
        elif what == "node":
            await _node(cluster, f"{space}-{given[0]}", given[1], {"space": space if given[2] else "none"})
            await asyncio.sleep(HEARD)
            await _touch(cluster, resource, space)
        elif (pod := await _pod(cluster, space, given[0])) is not None:
            if what == "delete":
                await cluster.client.delete(PODS, pod["metadata"]["name"], space)
            else:
                await report(cluster.client, pod, ready=given[1], phase=given[2])


async def _node(cluster: Cluster, name: str, taints: list[Json], labels: dict[str, str]) -> None:
    await cluster.client.patch(NODES, name, {"metadata": {"labels": labels}, "spec": {"taints": taints}})


async def _touch(cluster: Cluster, resource: Resource, space: str) -> None:
    """Change the workload a little: without that the released controller counts only when it makes or deletes pods."""
    version = (await cluster.client.get(resource, NAME, space))["metadata"]["resourceVersion"]
    await cluster.client.patch(resource, NAME, {"metadata": {"annotations": {"touched-at": version}}}, space)


async def _pod(cluster: Cluster, space: str, which: str | int) -> Json | None:
    """Find the pod of a name, for a node, or of an index; of a Job without indexes any one that runs."""
    for pod in (await cluster.client.list(PODS, space)).items:
        phase = (pod.get("status") or {}).get("phase")
        if "deletionTimestamp" in pod["metadata"] or (isinstance(which, int) and phase != "Running"):
            continue
        if place_of(pod) in (which, f"{space}-{which}", ""):
            return pod
    return None


def place_of(pod: Json) -> Any:
    """What tells a pod from the others of its workload: its node, its index, or its name where it keeps that."""
    node = node_of(pod)
    if node:
        return node
    index = (pod["metadata"].get("annotations") or {}).get("batch.kubernetes.io/job-completion-index")
    if index is not None:
        return int(index)
    return pod["metadata"]["name"] if pod["metadata"]["ownerReferences"][0]["kind"] == STATEFUL_SETS.kind else ""
