"""What every cluster has comes back when it is deleted."""

from __future__ import annotations

import asyncio

from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kapi.server import bootstrap
from kapi.testing import Served


async def test_the_kubernetes_service_its_endpoints_and_the_lease_namespace_come_back(served: Served) -> None:
    client = served.client
    before = await client.get(SERVICES, "kubernetes", "default")
    await client.delete(SERVICES, "kubernetes", "default")
    await client.delete(ENDPOINT_SLICES, "kubernetes", "default")
    await client.delete(NAMESPACES, "kube-node-lease")
    keeping = asyncio.create_task(bootstrap.keep(client, served.server.settings, every=0.05))
    await asyncio.sleep(0.5)
    keeping.cancel()
    after = await client.get(SERVICES, "kubernetes", "default")
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    assert await client.get(ENDPOINT_SLICES, "kubernetes", "default")
    assert (await client.get(NAMESPACES, "kube-node-lease"))["status"]["phase"] == "Active"


async def test_what_nobody_touched_is_not_written_again(served: Served) -> None:
    before = await served.client.get(SERVICES, "kubernetes", "default")
    await bootstrap.make(served.client, served.server.settings)
    assert await served.client.get(SERVICES, "kubernetes", "default") == before
