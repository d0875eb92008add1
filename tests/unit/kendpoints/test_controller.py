"""The controller against a real API server: what is written, and when it is not."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from kapi import decode
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from kendpoints.controller import Settings
from kendpoints.labels import ENDPOINTS_MANAGED_BY
from kendpoints.slices import slices


async def test_a_ready_pod_becomes_an_endpoint_and_leaves_when_it_is_not(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        await here.becomes(["10.244.0.2"], here.endpoints, "web")
        await here.status(1, ready=False)
        await here.becomes([], here.addresses, "web")
        await here.becomes([], here.endpoints, "web")


async def test_a_pod_that_is_deleted_serves_while_it_terminates(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        await here.client.delete(PODS, "p1", "default")
        await here.becomes(["10.244.0.2"], here.addresses, "web", "terminating")
        assert await here.addresses("web", "serving") == ["10.244.0.2"]
        assert await here.addresses("web") == []
        await here.client.delete(PODS, "p1", "default", grace_seconds=0)
        await here.becomes([], here.addresses, "web", "serving")


async def test_a_label_moves_a_pod_from_one_service_to_another(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.service("canary")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        await here.client.patch(PODS, "p1", {"metadata": {"labels": {"app": "canary"}}}, "default")
        await here.becomes(["10.244.0.2"], here.addresses, "canary")
        await here.becomes([], here.addresses, "web")


async def test_a_deleted_service_takes_its_slices_and_endpoints_along(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.endpoints, "web")
        await here.client.delete(SERVICES, "web", "default")
        await here.becomes([], here.slices, "web")
        await here.becomes(["gone"], here.endpoints, "web")


async def test_endpoints_that_show_up_after_their_service_went_are_removed(cluster: Any) -> None:
    async with cluster() as here:
        await here.at_rest()
        mark = {"labels": {ENDPOINTS_MANAGED_BY: "endpoint-controller"}}
        await here.client.create(ENDPOINTS, {"metadata": {"name": "web", "namespace": "default", **mark}})
        await here.becomes(["gone"], here.endpoints, "web")


async def test_nothing_is_deleted_because_a_cache_does_not_show_a_service(cluster: Any) -> None:
    async with cluster() as here:
        await here.at_rest()
        here.trouble.hold("services")
        await here.toggle_twin()
        await here.service("web")
        await here.service("db", selector=None)
        subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}
        await here.client.create(ENDPOINTS, {"metadata": {"name": "db", "namespace": "default"}, "subsets": [subset]})
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await here.becomes(["192.0.2.7"], here.addresses, "db")
        await asyncio.sleep(5 * here.settings.repair_delay)
        await here.at_rest()
        assert here.trouble.writes == []


async def test_a_service_without_a_selector_is_left_to_its_author(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("db", selector=None)
        obj = {
            "metadata": {"name": "db", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "sql", "port": 5432}]}],
        }
        await here.client.create(ENDPOINTS, obj)
        await here.becomes(["192.0.2.7"], here.addresses, "db")
        (mirrored,) = await here.slices("db")
        assert mirrored["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
        await here.client.patch(SERVICES, "db", {"spec": {"selector": {"app": "web"}}}, "default")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.addresses, "db")


async def test_an_endpoint_follows_the_zone_of_its_node(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await here.client.patch(NODES, "a", {"metadata": {"labels": {"topology.kubernetes.io/zone": "west"}}})
        await here.becomes(["west"], _zones, here)


async def _zones(here: Any) -> list[str]:
    return [endpoint.get("zone", "") for one in await here.slices("web") for endpoint in one["endpoints"] or ()]


async def test_what_others_do_to_our_slices_is_put_right(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        (only,) = await here.slices("web")
        await here.client.patch(ENDPOINT_SLICES, only["metadata"]["name"], {"endpoints": []}, "default")
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        await here.client.delete(ENDPOINT_SLICES, only["metadata"]["name"], "default")
        await here.becomes(["10.244.0.2"], here.addresses, "web")


async def test_a_cache_that_stands_still_never_makes_it_write_twice(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        await here.pod(1)
        await here.becomes(["10.244.0.2"], here.addresses, "web")
        here.trouble.hold()
        for number in range(2, 6):
            await here.pod(number)
        await here.client.delete(ENDPOINT_SLICES, (await here.slices("web"))[0]["metadata"]["name"], "default")
        here.trouble.flow()
        await here.becomes([f"10.244.0.{n + 1}" for n in range(1, 6)], here.addresses, "web")
        await here.at_rest()
        assert await here.written() == await here.wanted()


async def test_a_new_controller_takes_over_without_a_write(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        for number in range(7):
            await here.pod(number)
        await here.becomes([f"10.244.0.{n + 1}" for n in range(7)], here.addresses, "web")
        await here.at_rest()
        await here.stop()
        here.trouble.writes.clear()
        here.start()
        await asyncio.sleep(0.02)
        await here.at_rest()
        assert here.trouble.writes == []


async def test_what_is_left_out_is_told_once(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81, "targetPort": "missing"}])
        for number in range(3):
            await here.pod(number)
        await here.becomes(3, _count, here, "web")
        await here.becomes(1, _told, here, "missing")
        await here.status(1, ready=False)
        await here.at_rest()
        assert await _told(here, "missing") == 1


async def test_of_very_many_things_left_out_some_are_told_and_their_number(cluster: Any) -> None:
    ports = [{"name": f"p{number}", "port": 80 + number, "targetPort": f"t{number}"} for number in range(25)]
    async with cluster() as here:
        await here.service("web", ports=ports)
        await here.pod(1)
        await here.becomes(1, _told, here, "and 15 more like these")
        assert await _told(here, "spec.ports") == 10


async def test_a_write_that_is_refused_is_told_and_tried_again(cluster: Any) -> None:
    async with cluster() as here:
        here.trouble.refusals = 3
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await here.becomes(True, _is_told, here, "the API server refused a write: not today")


async def _is_told(here: Any, word: str) -> bool:
    return await _told(here, word) > 0


async def _count(here: Any, service: str) -> int:
    return len(await here.addresses(service))


async def _told(here: Any, word: str) -> int:
    return sum(word in message for message in await here.events())


async def test_changes_of_pods_are_gathered_for_the_batch_period(cluster: Any) -> None:
    async with cluster(Settings(batch_period=0.1)) as here:
        await here.service("web")
        await here.at_rest()
        here.trouble.writes.clear()
        for number in range(20):
            await here.pod(2 * number)
        await here.becomes(20, _count, here, "web")
        assert sum("slices" in write for write in here.trouble.writes) <= 3


@pytest.mark.parametrize("settings", [{"workers": 1}, {"workers": 5}], ids=str)
async def test_two_controllers_at_once_agree_in_the_end(cluster: Any, settings: dict[str, int]) -> None:
    async with cluster() as here:
        other = type(here)(here.client, replace(here.settings, **settings))
        other.start()
        await here.service("web")
        for number in range(8):
            await here.pod(number)
        for number in range(0, 8, 3):
            await here.status(number, ready=False)
        for _ in range(3):
            await here.at_rest()
            await other.at_rest()
        await here.becomes(await here.wanted(), here.written)
        await other.stop()


async def test_a_changed_zone_of_cpus_moves_hints_and_what_cannot_be_hinted_is_told(cluster: Any) -> None:
    async with cluster() as here:
        for name, zone in (("a", "west"), ("b", "east")):
            labels = {"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}
            await here.client.patch(NODES, name, labels)
            await _cpu(here, name, "4")
        for number in range(0, 12, 2):
            await here.pod(number, node="a" if number < 6 else "b")
        await here.service("web")
        annotation = {"metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}}
        await here.client.patch(SERVICES, "web", annotation, "default")
        await here.becomes({"west": 3, "east": 3}, _hints, here)
        await _cpu(here, "b", "0")
        await here.becomes({"": 6}, _hints, here)
        await here.becomes(1, _told, here, "node b has no allocatable CPU")
        await _cpu(here, "b", "20")
        await here.becomes({"west": 1, "east": 5}, _hints, here)


async def _cpu(here: Any, node: str, quantity: str) -> None:
    status = {"allocatable": {"cpu": quantity}, "conditions": [{"type": "Ready", "status": "True"}]}
    await here.client.patch(NODES, node, {"status": status}, subresource="status")


async def _hints(here: Any) -> dict[str, int]:
    endpoints = [endpoint for one in await here.slices("web") for endpoint in one["endpoints"] or ()]
    return dict(Counter("".join(z["name"] for z in (e.get("hints") or {}).get("forZones", ())) for e in endpoints))


async def test_slices_made_by_hand_are_left_to_their_author(cluster: Any) -> None:
    async with cluster() as here:
        await here.service("web")
        labels = {"kubernetes.io/service-name": "web"}
        outside = [{"addresses": ["192.0.2.9"]}]
        meta = {"name": "by-hand", "namespace": "default", "labels": labels}
        slice_ = {"metadata": meta, "addressType": "IPv4", "endpoints": outside, "ports": [{"port": 80}]}
        made = await here.client.create(ENDPOINT_SLICES, slice_)
        await here.pod(2)
        await here.becomes(1, _ours, here)
        await here.status(2, ready=False)
        await here.at_rest()
        await here.client.patch(SERVICES, "web", {"spec": {"ports": [{"name": "x", "port": 81}]}}, "default")
        await here.at_rest()
        assert await here.client.get(ENDPOINT_SLICES, "by-hand", "default") == made


async def _ours(here: Any) -> int:
    return sum("ownerReferences" in one["metadata"] for one in await here.slices("web"))


def test_what_a_service_asks_for_in_vain_is_told_and_the_rest_works(build: Any) -> None:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": "many"}]
    spec = {"selector": {"app": "web"}, "ipFamilies": ["IPv4", "IPv9"], "ports": ports}
    service = decode.service({"metadata": {"name": "web", "uid": "u"}, "spec": spec})
    plan = slices(service, [build.pod()], build.nodes(), [])
    (only,) = plan.changes.create
    assert (only.family, [port.name for port in only.ports], len(only.endpoints)) == (4, ["a"], 1)
    assert {notice.where for notice in plan.notices} == {"spec.ipFamilies[1]", "spec.ports[1]"}
