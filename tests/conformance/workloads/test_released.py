"""The same histories, given to the released controllers, end in the same pods, revisions, claims and statuses."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.conformance.workloads.history import begin, history, take, workload
from tests.conformance.workloads.sides import Cluster, ours, released
from tests.conformance.workloads.written import in_order, written

from kapi.resources import DAEMON_SETS, JOBS, STATEFUL_SETS, Resource

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

HISTORIES = 24
STEPS = {STATEFUL_SETS: 16, DAEMON_SETS: 16, JOBS: 5}
PAUSE = 0.05  # seconds between looks
AGREEMENTS = 8  # looks in a row that must find the same
PATIENCE = 45.0  # seconds; a pod of a Job that failed is replaced after 10, and then after 20


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DAEMON_SETS, JOBS], ids=lambda resource: resource.kind)
async def test_random_histories_end_in_the_same_pods_and_statuses(resource: Resource) -> None:
    async with ours() as here, released() as there:
        told = await asyncio.gather(*(_play([here, there], resource, number) for number in range(HISTORIES)))
        assert not any(told), "\n\n".join(filter(None, told))


async def _play(clusters: list[Cluster], resource: Resource, number: int) -> str:
    """Play one history in both clusters; gives "" or how they differ."""
    random, space = Random(number), f"h{number}"
    obj = workload(resource, random, space)
    taken = [str(obj["spec"])]
    for cluster in clusters:
        await begin(cluster, resource, space, obj)
    for step in history(resource, random, STEPS[resource]):
        difference = await _difference(clusters, resource, space)
        if difference:
            return "\n".join([f"history {number}", *taken, difference])
        taken.append(str(step))
        for cluster in clusters:
            await take(cluster, resource, space, step)
    here, there = (in_order(cluster, resource, space, obj) for cluster in clusters)
    difference = await _difference(clusters, resource, space) or ("" if here == there else f"{here}\n{there}")
    return "\n".join([f"history {number}", *taken, difference]) if difference else ""


async def _difference(clusters: list[Cluster], resource: Resource, space: str) -> str:
    """Wait until both have written the same, so often in a row; gives "" or what only one of them has written."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    agreed = 0
    before: list[str] = []
    while agreed < AGREEMENTS:
        here, there = [await written(cluster, resource, space) for cluster in clusters]
        agreed = agreed + 1 if here == there and here == before else 0
        before = here
        if agreed == 0 and asyncio.get_running_loop().time() > deadline:
            only = sorted(set(here) - set(there)), sorted(set(there) - set(here))
            return "only ours: {}\nonly theirs: {}".format(*map("\n  ".join, only))
        await asyncio.sleep(PAUSE)
    return ""
