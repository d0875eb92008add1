"""The rules of Kubernetes' endpoint controllers that only show in a running one; the others are in test_rules.py."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.kendpoints import test_rules

from kapi.errors import Forbidden, Invalid, NotFound
from kapi.feed import Feed
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, EVENTS, NAMESPACES, NODES, SERVICES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kendpoints.controller import Settings, unless_terminating
from kendpoints.labels import ENDPOINTS_MANAGED_BY, SKIP_MIRROR
from kendpoints.world import Job, World

PAGE = Path(__file__).parents[3] / "docs/reference/kendpoints.md"


async def test_d1_04_a_pod_waits_for_its_node(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(2, node="late")
        await here.at_rest()
        assert await here.addresses("web", "serving") == []
        await here.node("late")
        await here.becomes(["10.244.0.3"], here.addresses, "web")


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
        here.trouble.writes.clear()
        here.trouble.hold()
        await here.status(2, ready=False)
        here.trouble.flow()
        await here.becomes([], here.addresses, "web")
        await here.at_rest()
        assert sum("endpointslices" in write for write in here.trouble.writes) == 1


class Concerned:
    """What changes of one pod concern: Services `web` and `other` by label, and `both` by what never changes."""

    def __init__(self) -> None:
        self._source, self._found = Feed(), Counter[str]()
        self._world = World(self._source, batch_period=0.0, repair_delay=0.0)
        for name, selector in (("web", {"app": "web"}), ("other", {"app": "other"}), ("both", {"tier": "front"})):
            service = {"metadata": {"name": name}, "spec": {"selector": selector, "ports": [{"port": 80}]}}
            self._source.put({"apiVersion": "v1", "kind": "Service", **service})
        self.after("web", ready=False)
        self._world.listen(lambda job, _: self._note(job))

    def _note(self, job: Job) -> None:
        self._found[job.key.removeprefix("default/")] += 1

    def after(self, app: str, *, ready: bool, version: str = "1") -> set[str]:
        meta = {"name": "p", "labels": {"app": app, "tier": "front"}, "resourceVersion": version}
        status = {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": str(ready)}]}
        self._found.clear()
        self._source.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": status})
        return set(self._found)


@pytest.mark.parametrize(
    ("app", "ready", "concerned"),
    [
        ("web", False, set()),
        ("web", True, {"web", "both"}),
        ("other", False, {"web", "other"}),
        ("other", True, {"web", "other", "both"}),
    ],
    ids=["a resync", "its state", "its labels", "both"],
)
async def test_d1_21_a_change_concerns_the_services_it_touches(app: str, ready: bool, concerned: set[str]) -> None:
    assert Concerned().after(app, ready=ready, version="2") == concerned


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


async def test_d3_9_who_uses_endpoints_is_told_that_they_are_deprecated() -> None:
    async with ApiServer(MemoryStore()) as server:
        listening = socket.create_server(("127.0.0.1", 0))
        await server.listen(listening)
        url = "http://{}:{}/api/v1/namespaces/default/endpoints".format(*listening.getsockname())
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.headers["Warning"].startswith('299 - "v1 Endpoints is deprecated in v1.33+')


async def test_d4_7_what_is_not_mirrored_is_told_on_the_endpoints(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("db", selector=None)
        many = [{"ip": f"10.{number >> 8}.{number & 255}.1"} for number in range(1001)]
        meta = {"name": "db", "namespace": "default"}
        await here.client.create(ENDPOINTS, {"metadata": meta, "subsets": [{"addresses": many}]})

        async def told() -> list[tuple[str, str, str]]:
            about = [(e["reason"], e["involvedObject"]) for e in (await here.client.list(EVENTS, "default")).items]
            return [(reason, one["kind"], one["name"]) for reason, one in about]

        await here.becomes([("TooManyAddressesToMirror", "Endpoints", "db")], told)


async def test_d4_8_the_api_servers_own_endpoints_are_left_to_it(cluster: Any) -> None:
    async with cluster() as here:
        await here.at_rest()
        (own,) = await here.slices("kubernetes")
        assert "endpointslice.kubernetes.io/managed-by" not in own["metadata"]["labels"]
        old = await here.client.get(ENDPOINTS, "kubernetes", "default")
        assert old["metadata"]["labels"] == {SKIP_MIRROR: "true"}
        assert here.trouble.writes == []


def test_every_rule_of_the_reference_has_a_case() -> None:
    told = set(re.findall(r"^\| (D\d\.\d+) \|", PAGE.read_text(), re.MULTILINE))
    named = re.findall(r"^async def test_d(\d)_(\d+)_", Path(__file__).read_text(), re.MULTILINE)
    assert {rule.number for rule in test_rules.RULES} | {f"D{part}.{number}" for part, number in named} == told


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
