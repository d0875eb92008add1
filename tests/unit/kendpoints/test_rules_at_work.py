"""The rules of Kubernetes' endpoint controllers that only show in a running one; the others are in test_rules.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kapi.errors import Forbidden, Invalid, NotFound
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, NODES, SERVICES
from kendpoints.controller import Settings, unless_terminating
from kendpoints.labels import ENDPOINTS_MANAGED_BY


async def test_d1_16_a_namespace_that_goes_is_no_error() -> None:
    async def refused() -> dict[str, Any]:
        cause = {"reason": "NamespaceTerminating"}
        raise Forbidden({"message": "no", "reason": "Forbidden", "code": 403, "details": {"causes": [cause]}})

    assert await unless_terminating(refused()) is None


async def test_d1_16_a_namespace_is_deleted_with_all_in_it(cluster: Any) -> None:
    async with cluster() as here:
        await here.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await here.client.create(SERVICES, {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
        await here.client.delete(NAMESPACES, "shop")

        async def left() -> int:
            return len((await here.client.list(ENDPOINT_SLICES, "shop")).items)

        await here.becomes(0, left)
        await here.at_rest()


async def test_d1_19_only_pods_wait_for_the_batch(cluster: Any) -> None:
    async with cluster(Settings(batch_period=30.0)) as here:
        await here.pod(1)
        await here.service("web")
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        await here.status(1, ready=False)
        await asyncio.sleep(0.05)
        assert await here.addresses("web") == ["10.244.0.2"], "a pod's change waits"
        await here.client.patch(SERVICES, "web", {"metadata": {"labels": {"a": "b"}}}, "default")
        await here.becomes([], here.addresses, "web")


async def test_d1_20_a_cache_that_is_behind_never_takes_a_slice_back(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await here.at_rest()
        here.lagging.writes.clear()
        here.lagging.flowing.clear()
        await here.status(2, ready=False)
        here.lagging.flowing.set()
        await here.becomes([], here.addresses, "web")
        await here.at_rest()
        assert sum("endpointslices" in write for write in here.lagging.writes) == 1


async def test_d1_22_the_address_type_of_a_slice_never_changes(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.becomes(1, _slices, here)
        (one,) = await here.slices("web")
        with pytest.raises(Invalid):
            await here.client.patch(ENDPOINT_SLICES, one["metadata"]["name"], {"addressType": "IPv6"}, "default")


async def _slices(here: Any) -> int:
    return len(await here.slices("web"))


async def test_d3_8_endpoints_that_nobody_owns_any_more_are_removed_at_the_start(cluster: Any) -> None:
    async with cluster(start=False) as here:
        mark = {"labels": {ENDPOINTS_MANAGED_BY: "endpoint-controller"}}
        await here.client.create(ENDPOINTS, {"metadata": {"name": "gone", "namespace": "default", **mark}})
        await here.client.create(ENDPOINTS, {"metadata": {"name": "kept", "namespace": "default"}})
        here.start()
        await here.becomes(["gone"], here.endpoints, "gone")
        with pytest.raises(NotFound):
            await here.client.get(SERVICES, "kept", "default")
        assert await here.endpoints("kept") == [], "what a person made stays"


async def test_finalizers_and_further_owners_of_a_slice_stay(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        (one,) = await here.slices("web")
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "name": "a",
            "uid": (await here.client.get(NODES, "a"))["metadata"]["uid"],
        }
        owners = [*one["metadata"]["ownerReferences"], node]
        patch = {"metadata": {"finalizers": ["example.com/keep"], "ownerReferences": owners}}
        await here.client.patch(ENDPOINT_SLICES, one["metadata"]["name"], patch, "default")
        await here.at_rest()
        await here.status(2, ready=False)
        await here.becomes([], here.addresses, "web")
        (one,) = await here.slices("web")
        assert one["metadata"]["finalizers"] == ["example.com/keep"]
        assert one["metadata"]["ownerReferences"] == owners
