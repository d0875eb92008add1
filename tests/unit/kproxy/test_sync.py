"""The proxy end to end on the memory backend: events in, what packets meet out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, TypeVar

import pytest

from kapi import decode
from kapi.cache import Cache, Decode
from kapi.events import Recorder
from kapi.network import Address, Protocol, Reference, Service
from kapi.resources import ENDPOINT_SLICES, NODES, SERVICES, Resource
from kproxy import desired, netlink
from kproxy.backends import Backend
from kproxy.backends.memory import Memory
from kproxy.backends.nftables.compile import Compiled, compile_service
from kproxy.model import Duties, NodeDuties, Place
from kproxy.proxy import Proxy
from kproxy.rules.evaluate import Packet
from kproxy.settings import Settings
from kproxy.sync import Sync, World
from kproxy.testing import Erratic, endpoint_slice
from kproxy.topology import Here

T = TypeVar("T")
Json = dict[str, Any]
CLIENT = ip_address("198.51.100.10")
VIP = ip_address("10.96.0.1")


class Told:
    """A source whose caches a test fills by hand."""

    def __init__(self) -> None:
        self.caches: dict[Resource, Cache[Any]] = {}

    def cache(self, resource: Resource, decode: Decode[T]) -> Cache[T]:
        return self.caches.setdefault(resource, Cache(resource, decode))

    async def run(self) -> None:
        await asyncio.Event().wait()

    def put(self, resource: Resource, obj: Json) -> None:
        self.caches[resource].put(obj)


class Noted(Recorder):
    """A recorder whose events a test can read."""

    def __init__(self) -> None:
        super().__init__("kproxy")
        self.events: list[tuple[str, str]] = []

    def event(self, about: Reference, level: str, reason: str, message: str) -> None:
        self.events.append((str(about), message))


def service(name: str = "web", **spec: Any) -> Json:
    ports = [{"name": "http", "port": 80}]
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIPs": ["10.96.0.1"], "ports": ports, **spec},
    }


def endpoints(*addresses: str, name: str = "web") -> Json:
    written = [{"addresses": [address]} for address in addresses]
    return endpoint_slice(f"default/{name}", 4, written, [{"name": "http", "port": 8080}])


@asynccontextmanager
async def running(
    source: Told, backend: Backend, recorder: Recorder | None = None, drift: float = 60
) -> AsyncIterator[Proxy]:
    settings = Settings(drift_seconds=drift, retry_seconds=0.01)
    proxy = Proxy(source, "here", backend, recorder=recorder or Noted(), settings=settings)
    for resource in (SERVICES, ENDPOINT_SLICES, NODES):
        source.caches[resource]._synced.set()
    task = asyncio.create_task(proxy.run())
    try:
        await proxy.wait_synced()
        yield proxy
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reached(backend: Backend, to: str = "10.96.0.1") -> set[str]:
    outcome = backend.evaluate(Packet(CLIENT, ip_address(to), "tcp", 80, "eth0"))
    return {str(address) for address, _ in outcome.endpoints()} or {e.value for e in outcome.endings()}


async def until(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not wanted():  # noqa: ASYNC110  # what is waited for is any state of the rules, not an event
            await asyncio.sleep(0.005)


async def test_endpoints_come_and_go_with_their_slices() -> None:
    source, backend = Told(), Memory()
    async with running(source, backend):
        source.put(SERVICES, service())
        await until(lambda: reached(backend) == {"reject"})
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2", "10.244.1.3"))
        await until(lambda: reached(backend) == {"10.244.1.2", "10.244.1.3"})
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.3"))
        await until(lambda: reached(backend) == {"10.244.1.3"})
        source.caches[SERVICES].remove("default/web")
        await until(lambda: reached(backend) == {"untouched"})


async def test_an_endpoint_that_moves_to_another_slice_is_never_missed() -> None:
    source, backend = Told(), Memory()
    async with running(source, backend):
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        other = endpoints("10.244.1.2", "10.244.1.3")
        other["metadata"]["name"] = "web-other"
        source.put(ENDPOINT_SLICES, other)
        await until(lambda: reached(backend) == {"10.244.1.2", "10.244.1.3"})
        source.put(ENDPOINT_SLICES, endpoints())
        await asyncio.sleep(0.05)
        assert reached(backend) == {"10.244.1.2", "10.244.1.3"}


async def test_a_slice_that_names_no_service_is_told() -> None:
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        lost = endpoints("10.244.1.2")
        del lost["metadata"]["labels"]
        source.put(ENDPOINT_SLICES, lost)
        await until(lambda: bool(noted.events))
    assert "it belongs to no Service" in noted.events[0][1]


@pytest.mark.parametrize("missing", [SERVICES, ENDPOINT_SLICES])
async def test_nothing_is_put_in_place_before_all_is_known(missing: Resource) -> None:
    source, backend = Told(), Memory()
    proxy = Proxy(source, "here", backend, recorder=Noted())
    source.put(SERVICES, service())
    source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
    for resource in {SERVICES, ENDPOINT_SLICES, NODES} - {missing}:
        source.caches[resource]._synced.set()
    task = asyncio.create_task(proxy.run())
    try:
        await asyncio.sleep(0.1)
        assert reached(backend) == {"untouched"}
        source.caches[missing]._synced.set()
        await until(lambda: reached(backend) == {"10.244.1.2"})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_lost_when_commits_fail() -> None:
    source, backend = Told(), Memory()
    erratic = Erratic(backend, every=2)
    async with running(source, erratic):
        source.put(SERVICES, service())
        for last in range(2, 12):
            source.put(ENDPOINT_SLICES, endpoints(f"10.244.1.{last}"))
            await until(lambda last=last: reached(backend) == {f"10.244.1.{last}"})  # type: ignore[misc]  # bound now
    assert erratic.calls > 10


async def test_a_fault_in_a_backend_is_logged_and_all_is_put_in_place_anew(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Memory):
        async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
            raise KeyError("forgotten")

    source, backend = Told(), Faulty()
    async with running(source, backend):
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
    faults = [record for record in caplog.records if "by a fault of ours" in record.getMessage()]
    assert faults[0].exc_info


async def test_a_service_that_cannot_be_worked_out_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(asked: Service, *more: Any) -> Duties:
        if asked.key == "default/bad":
            raise ZeroDivisionError
        return desired.duties(asked, *more)

    monkeypatch.setattr("kproxy.sync.duties", broken)
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        source.put(SERVICES, service("bad", clusterIPs=["10.96.0.2"]))
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        assert [(about, "left out" in told) for about, told in noted.events] == [("Service default/bad", True)]


async def test_a_service_whose_rules_cannot_be_worked_out_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owed: dict[str, Duties] = {}

    def broken(asked: Duties, *more: Any, **named: Any) -> Compiled:
        owed[asked.key] = asked
        if asked.key == "default/bad":
            raise ZeroDivisionError
        return compile_service(asked, *more, **named)

    monkeypatch.setattr("kproxy.backends.nftables.backend.compile_service", broken)
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        source.put(SERVICES, service("bad", clusterIPs=["10.96.0.2"]))
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.9", name="bad"))
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        assert reached(backend, "10.96.0.2") == {"untouched"}
        told = [(about, "could not be worked out: ZeroDivision" in said) for about, said in noted.events]
        assert told == [("Service default/bad", True)]
        await backend.commit({"default/bad": owed["default/bad"]})
        assert len([record for record in caplog.records if record.exc_info]) == 1, "the same fault is logged once"
    anew = Memory()
    assert (await anew.resync(NodeDuties(), owed)).keys() == {"default/bad"}
    assert reached(anew) == {"10.244.1.2"}


async def test_a_contested_address_goes_to_the_elder_and_the_other_is_told() -> None:
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        source.put(SERVICES, service("elder", externalIPs=["203.0.113.1"]))
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2", name="elder"))
        young = service("young", clusterIPs=["10.96.0.2"], externalIPs=["203.0.113.1"])
        source.put(SERVICES, young)
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.9", name="young"))
        await until(lambda: reached(backend, "10.96.0.2") == {"10.244.1.9"})
        assert reached(backend, "203.0.113.1") == {"10.244.1.2"}
        assert [about for about, _ in noted.events] == ["Service default/young"]
        source.caches[SERVICES].remove("default/elder")
        await until(lambda: reached(backend, "203.0.113.1") == {"10.244.1.9"})


async def test_rules_that_somebody_changes_are_put_back() -> None:
    source, backend = Told(), Memory()
    async with running(source, backend, drift=0.05):
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        held = backend._filter._contents  # type: ignore[attr-defined]  # the memory filter's
        held.elements[4, "tcp-endpoints"].clear()
        backend._filter._generation += 1  # type: ignore[attr-defined]  # as any commit would
        await until(lambda: bool(backend._filter._contents.elements[4, "tcp-endpoints"]))  # type: ignore[attr-defined]


async def test_somebodys_changes_are_noticed_while_the_cluster_changes_all_the_time() -> None:
    source, backend = Told(), Memory()
    async with running(source, backend, drift=0.1):
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        source.put(SERVICES, service("busy", clusterIPs=["10.96.0.2"]))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        backend._filter._contents.elements[4, "tcp-endpoints"].clear()  # type: ignore[attr-defined]  # the memory filter's
        backend._filter._generation += 1  # type: ignore[attr-defined]  # as any commit would
        for last in range(100):
            source.put(ENDPOINT_SLICES, endpoints(f"10.244.2.{last}", name="busy"))
            await asyncio.sleep(0.01)
            if len(backend._filter._contents.elements[4, "tcp-endpoints"]) == 2:  # type: ignore[attr-defined]
                return
        raise AssertionError("nobody noticed")


async def test_a_change_of_the_node_while_the_rules_are_looked_at_is_put_in_place() -> None:
    seen: list[NodeDuties] = []

    class Slow(Memory):
        """One whose rules are still being looked at when the node changes."""

        async def drifted(self) -> bool:
            sync.renew(NodeDuties(masquerade_all=True), Here("here"))
            return await super().drifted()

        async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
            seen.append(node)
            return await super().resync(node, services)

    sync = Sync(World({}), Slow(), Settings(drift_seconds=0.02), report=lambda *_: None)
    running = asyncio.create_task(sync.run())
    try:
        sync.renew(NodeDuties(), Here("here"))
        await until(lambda: seen == [NodeDuties(), NodeDuties(masquerade_all=True)])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("bad", [{"ports": [{"port": 99999}, {"name": "http", "port": 80}]}, {"externalIPs": ["x"]}])
async def test_the_bad_part_of_an_object_is_left_out_and_reported(bad: Json) -> None:
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        source.put(SERVICES, service(**bad))
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        assert noted.events


async def test_nobody_comes_in_by_a_load_balancer_whose_source_ranges_cannot_be_read() -> None:
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        guarded = service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/99"])
        source.put(SERVICES, {**guarded, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}})
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        assert reached(backend, "203.0.113.1") == {"drop"}
        assert "loadBalancerSourceRanges[0]" in noted.events[0][1]


async def test_a_service_the_backend_refuses_does_not_stop_the_others() -> None:
    source, backend, noted = Told(), Memory(), Noted()
    async with running(source, backend, noted):
        broken = b"\x0a\x60\x00\x02\x00\x50\x00\x00"
        held = backend._filter._contents  # type: ignore[attr-defined]  # the memory filter's
        held.elements[4, "tcp-frontends"][netlink.attribute(1, broken)] = _drop(broken)
        source.put(SERVICES, service("bad", clusterIPs=["10.96.0.2"]))
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.9", name="bad"))
        source.put(SERVICES, service())
        source.put(ENDPOINT_SLICES, endpoints("10.244.1.2"))
        await until(lambda: reached(backend) == {"10.244.1.2"})
        assert any(about == "Service default/bad" for about, _ in noted.events)


def _drop(key: bytes) -> bytes:
    """Somebody else's element: it drops what comes to `key`."""
    verdict = netlink.nested(2, netlink.nested(2, netlink.number(1, 0)))
    return netlink.nested(1, netlink.nested(1, netlink.attribute(1, key)), verdict)


async def test_udp_places_are_looked_at_when_their_endpoints_change_and_only_then() -> None:
    looked: list[dict[Place, frozenset[Address]]] = []
    spec: Json = {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}
    services = {"default/web": decode.service(service(**spec))}
    world = World(services)
    sync = Sync(
        world, Memory(), Settings(), report=lambda *_: None, look_at=lambda places, _: looked.append({**places})
    )
    running = asyncio.create_task(sync.run())
    place = Place(4, VIP, Protocol.UDP, 53)
    try:
        sync.renew(NodeDuties(), Here("here"))
        await until(lambda: looked == [{place: frozenset()}])
        new = endpoint_slice("default/web", 4, [{"addresses": ["10.244.1.2"]}], [{**spec["ports"][0], "port": 5353}])
        sync.touch(world.put_slice(None, decode.endpoint_slice(new)))
        await until(lambda: looked[1:] == [{place: frozenset({ip_address("10.244.1.2")})}])
        sync.touch(["default/web"])
        await until(lambda: looked[2:] == [{}])
        services.clear()
        sync.renew(NodeDuties(masquerade_all=True), Here("here"))
        await until(lambda: looked[3:] == [{place: frozenset()}])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_changes_right_after_a_commit_follows_with_the_next_one_together() -> None:
    commits: list[set[str]] = []

    class Noting(Memory):
        async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
            commits.append(set(services))
            return await super().commit(services)

    sync = Sync(World({}), Noting(), Settings(rest_seconds=0.03), report=lambda *_: None)
    task = asyncio.create_task(sync.run())
    sync.renew(NodeDuties(), Here("here"))
    await sync.settled()
    await asyncio.sleep(0.06)
    for key in ("a/a", "a/b", "a/c"):
        sync.touch([key])
        await asyncio.sleep(0.005)
    await sync.settled()
    task.cancel()
    assert commits == [{"a/a"}, {"a/b", "a/c"}]
