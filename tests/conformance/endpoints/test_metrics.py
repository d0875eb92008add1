"""Our metrics have the names, kinds, labels and buckets by which the released controllers tell the same."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest
from tests.conformance.endpoints.sides import controlled, released
from tests.ports import unused_port

from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from kendpoints.controller import Controller, Settings

pytestmark = [pytest.mark.peers, pytest.mark.timeout(120)]

OF_THE_CONTROLLERS = "endpoint_slice_"
OF_THE_QUEUES = ("workqueue_depth", "workqueue_retries_total", "workqueue_work_duration_seconds")
PATIENCE = 20.0  # seconds
QUEUES = ("endpoint", "endpoint_slice", "endpoint_slice_mirroring")


async def populate(client: Client) -> None:
    """One Service of each kind that is counted, and wait for their slices."""
    for name, more in (
        ("plain", {}),
        ("close", {"trafficDistribution": "PreferClose"}),
        ("by-hand", {"selector": None}),
    ):
        spec = {"ports": [{"port": 80}], "selector": {"app": "web"}, **more}
        spec = {name: value for name, value in spec.items() if value is not None}
        await client.create(SERVICES, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]
    await client.create(ENDPOINTS, {"metadata": {"name": "by-hand", "namespace": "default"}, "subsets": subsets})
    async with asyncio.timeout(60):
        while len((await client.list(ENDPOINT_SLICES, "default")).items) < 4:  # noqa: ASYNC110  # another process writes
            await asyncio.sleep(0.1)


def shape(text: str) -> set[tuple[str, str]]:
    """Each sample's name and labels; of the labels that say how big or how much, the values too."""
    found = set()
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        of_queue = name.startswith(OF_THE_QUEUES) and any(f'name="{queue}"' in labels for queue in QUEUES)
        if name.startswith(OF_THE_CONTROLLERS) or of_queue:
            found.add((name, ",".join(sorted(labels.split(",")))))
    return found


async def test_what_is_counted_has_the_released_names_labels_and_buckets() -> None:
    port = unused_port()
    async with controlled(Settings()) as (here, controller), released(Settings(), port) as there:
        await asyncio.gather(populate(here), populate(there))
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (mine := shape(_ours(controller))) != (theirs := shape(await _theirs(port))):
            assert asyncio.get_running_loop().time() < deadline, (sorted(mine - theirs), sorted(theirs - mine))
            await asyncio.sleep(0.1)


def _ours(controller: Controller) -> str:
    depth: list[tuple[str, str, float]] = [("workqueue_depth", f'name="{queue}"', 0.0) for queue in QUEUES]
    return controller.metrics.text(depth)


async def _theirs(port: int) -> str:
    page = f"https://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(page, ssl=False) as answer:
        return await answer.text()
