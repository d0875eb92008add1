"""Slices fill, empty and spread over zones as the released controllers make them: by their sizes, whoever is in them.

Which of several equal endpoints goes where is left to chance in the released controllers, so steps are told in sizes:
so many new pods, so many from the fullest slice. Changes are gathered for a moment, so that a step is one write.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest
from tests.conformance.endpoints.history import READY_SINCE
from tests.conformance.endpoints.sides import ours, released

from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from kendpoints.controller import Settings

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

Json = dict[str, Any]

LIMIT = 4
GATHERED = Settings(max_endpoints_per_slice=LIMIT, batch_period=0.25)
STEPS = 30
PATIENCE = 8.0  # seconds
ZONES = {"a": "west", "b": "west", "c": "east", "d": "north"}


async def nodes(client: Client, cpus: dict[str, str]) -> None:
    for name, cpu in cpus.items():
        labels = {"topology.kubernetes.io/zone": ZONES[name]}
        await client.create(NODES, {"metadata": {"name": name, "labels": labels}})
        status = {"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": "True"}]}
        await client.patch(NODES, name, {"status": status}, subresource="status")


async def service(client: Client, **annotations: str) -> None:
    meta = {"name": "web", "namespace": "default", "annotations": annotations}
    spec = {"clusterIP": "None", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "ports": [{"port": 80}]}
    await client.create(SERVICES, {"metadata": meta, "spec": spec})


async def pod(client: Client, number: int, node: str = "a") -> None:
    meta = {"name": f"p{number}", "namespace": "default", "labels": {"app": "web"}}
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}
    await client.create(PODS, {"metadata": meta, "spec": spec})
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": READY_SINCE}]
    ip = f"10.244.{number // 250}.{number % 250 + 1}"
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}
    await client.patch(PODS, f"p{number}", {"status": status}, "default", subresource="status")


async def slices(client: Client) -> list[Json]:
    """The slices, fullest first."""
    found = (await client.list(ENDPOINT_SLICES, "default", labels="kubernetes.io/service-name=web")).items
    return sorted(found, key=lambda one: -len(one.get("endpoints") or ()))


async def sizes(client: Client) -> list[int]:
    return [len(one.get("endpoints") or ()) for one in await slices(client)]


async def hints(client: Client) -> Counter[str]:
    """How many endpoints each zone is served by; "" counts those without a hint."""
    endpoints = [endpoint for one in await slices(client) for endpoint in one.get("endpoints") or ()]
    zones = ([zone["name"] for zone in (e.get("hints") or {}).get("forZones") or ()] for e in endpoints)
    return Counter("+".join(found) for found in zones)


async def same(clusters: tuple[Client, Client], question: Any, told: Any) -> None:
    """Both clusters come to the same answer, and stay with it."""
    deadline, agreed = asyncio.get_running_loop().time() + PATIENCE, 0
    while agreed < 6:
        here, there = [await question(client) for client in clusters]
        agreed = agreed + 1 if here == there else 0
        assert agreed or asyncio.get_running_loop().time() < deadline, f"{told}: ours {here}, theirs {there}"
        await asyncio.sleep(0.1)


async def shrink(client: Client, cuts: list[int]) -> None:
    """Delete so many pods of the fullest slice, of the next, and so on."""
    found = zip(await slices(client), cuts, strict=False)
    doomed = [endpoint for one, cut in found for endpoint in (one.get("endpoints") or ())[:cut]]
    for endpoint in doomed:
        await client.delete(PODS, endpoint["targetRef"]["name"], "default", grace_seconds=0)


async def test_slices_fill_and_empty_alike() -> None:
    random = Random(5)
    async with ours(GATHERED) as here, released(GATHERED) as there:
        clusters = here, there
        for client in clusters:
            await nodes(client, {"a": "1"})
            await service(client)
        made = 0
        for step in range(STEPS):
            grown, cuts = random.randrange(7), [random.choice((0, 0, 1, 2)) for _ in range(8)]
            if grown + sum(cuts) == 0:
                continue
            for client in clusters:
                await shrink(client, cuts)
                for number in range(made, made + grown):
                    await pod(client, number)
            made += grown
            await asyncio.sleep(GATHERED.batch_period)
            await same(clusters, sizes, f"step {step}: {grown} more, {cuts} fewer")


@pytest.mark.parametrize(
    ("cpus", "placed"),
    [
        ({"a": "4", "c": "4"}, "aaacccc"),
        ({"a": "4", "c": "4"}, "aaaaaacc"),
        ({"a": "2", "b": "2", "c": "4"}, "aabbbbcc"),
        ({"a": "6", "c": "2"}, "aaaacccc"),
        ({"a": "500m", "c": "1500m"}, "aaaaaaac"),
        ({"a": "4", "c": "4", "d": "4"}, "aaaaaaaccdd"),
        ({"a": "4", "c": "4", "d": "4"}, "ac"),
        ({"a": "4", "b": "4"}, "aabb"),
        ({"a": "7", "c": "1"}, "aacc"),
        ({"a": "4", "c": "4", "d": "0"}, "aaccdd"),
    ],
    ids=str,
)
async def test_hints_in_proportion_to_cpus_are_as_many_for_each_zone(cpus: dict[str, str], placed: str) -> None:
    settings = Settings(batch_period=0.25)
    async with ours(settings) as here, released(settings) as there:
        for client in (here, there):
            await nodes(client, cpus)
            for number, node in enumerate(placed):
                await pod(client, number, node)
            await service(client, **{"service.kubernetes.io/topology-mode": "Auto"})
        await asyncio.sleep(0.5)
        await same((here, there), hints, "hints")
        for client in (here, there):
            await client.delete(PODS, "p0", "default", grace_seconds=0)
        await asyncio.sleep(0.5)
        await same((here, there), hints, "one pod fewer")
