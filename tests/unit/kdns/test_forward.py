"""Names that are nobody's here are asked upstream, by zone and policy, and remembered for as long as they may be."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import dnslib
import pytest
from tests.ports import unused_port
from tests.upstreams import upstream, zone

from kapi.resources import SERVICES
from kdns.chain import Chain, Setup, load
from kdns.settings import Caching, Forwarding, Settings, Upstream
from kdns.testing import HandFed, ask, namespace, service


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def chain_to(
    *servers: Upstream,
    clock: Clock | None = None,
    source: HandFed | None = None,
    cache: int = 100,
    timeout: float = 5.0,
) -> Chain:
    caching = Caching(cache, cache) if cache else None
    settings = Settings(forwards=(Forwarding(upstreams=servers),), timeout=timeout, cache=caching)
    return load(Setup(settings, lambda: 1.0, clock or Clock(), source))


def data(reply: dnslib.DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


async def test_the_rest_is_asked_upstream_with_random_ids_and_ports() -> None:
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as fake:
        chain = chain_to(fake.place, cache=0)
        replies = [await ask(chain, "a.example") for _ in range(8)]
        assert {tuple(data(reply)) for reply in replies} == {("192.0.2.1",)}
        assert not replies[0].header.aa, "what was forwarded is not ours"
        assert len({query.header.id for query in fake.asked}) > 1
        assert len(set(fake.ports)) > 1


async def test_answers_are_remembered_and_their_ttl_counts_down() -> None:
    clock = Clock()
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as fake:
        chain = chain_to(fake.place, clock=clock)
        assert (await ask(chain, "a.example")).rr[0].ttl == 60
        clock.now += 20.5
        assert (await ask(chain, "A.example")).rr[0].ttl == 40
        assert len(fake.asked) == 1
        clock.now += 40
        assert (await ask(chain, "a.example")).rr[0].ttl == 60
        assert len(fake.asked) == 2


async def test_misses_are_remembered_for_the_minimum_of_the_soa() -> None:
    clock = Clock()
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as fake:
        chain = chain_to(fake.place, clock=clock)
        for name, kind, rcode in (("b.example", "A", 3), ("a.example", "AAAA", 0)):
            fake.asked.clear()
            clock.now += 100
            assert (await ask(chain, name, kind)).header.get_rcode() == rcode
            clock.now += 3
            assert (await ask(chain, name, kind)).header.get_rcode() == rcode
            assert len(fake.asked) == 1
            clock.now += 2
            await ask(chain, name, kind)
            assert len(fake.asked) == 2


async def test_the_cache_is_bounded() -> None:
    async with upstream(
        zone("*.example. 60 A 192.0.2.1", *(f"n{n}.example. 60 A 192.0.2.1" for n in range(20)))
    ) as fake:
        chain = chain_to(fake.place, cache=5)
        for n in range(20):
            await ask(chain, f"n{n}.example")
        cache = chain.plugins[0]
        assert len(cache._entries) == 5  # type: ignore[attr-defined]


async def test_one_question_asked_many_times_at_once_goes_out_once() -> None:
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as fake:
        chain = chain_to(fake.place)
        replies = await asyncio.gather(*(ask(chain, "a.example") for _ in range(20)))
        assert all(data(reply) == ["192.0.2.1"] for reply in replies)
        assert len(fake.asked) == 1


async def test_extra_records_do_not_poison_other_names() -> None:
    def poisoner(query: dnslib.DNSRecord) -> list[bytes]:
        answer = query.reply()
        answer.add_answer(*dnslib.RR.fromZone(f"{query.q.qname} 60 A 192.0.2.1"))
        answer.add_ar(*dnslib.RR.fromZone("bank.example. 60 A 6.6.6.6"))
        return [bytes(answer.pack())]

    async with upstream(poisoner) as fake:
        chain = chain_to(fake.place)
        await ask(chain, "a.example")
        assert data(await ask(chain, "bank.example")) == ["192.0.2.1"]


async def test_a_dead_upstream_is_passed_over_and_then_tried_last() -> None:
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as fake:
        nobody = Upstream("127.0.0.1", unused_port())
        silent_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent_socket.bind(("127.0.0.1", 0))
        with silent_socket:
            silent = Upstream("127.0.0.1", silent_socket.getsockname()[1])
            chain = chain_to(nobody, silent, fake.place, cache=0, timeout=0.2)
            assert data(await ask(chain, "a.example")) == ["192.0.2.1"]
            silent_socket.setblocking(False)
            assert silent_socket.recv(512)
            assert data(await ask(chain, "a.example")) == ["192.0.2.1"]
            with pytest.raises(BlockingIOError):  # it is not asked again, nor waited for
                silent_socket.recv(512)


async def test_an_upstream_that_fails_is_passed_over_and_without_another_its_failure_is_told() -> None:
    def failing(query: dnslib.DNSRecord) -> list[bytes]:
        answer = query.reply()
        answer.header.rcode = 2
        return [bytes(answer.pack())]

    async with upstream(failing) as bad, upstream(zone("a.example. 60 A 192.0.2.1")) as good:
        assert data(await ask(chain_to(bad.place, good.place), "a.example")) == ["192.0.2.1"]
        assert (await ask(chain_to(bad.place), "a.example")).header.get_rcode() == 2
        assert (await ask(chain_to(Upstream("127.0.0.1", unused_port())), "a.example")).header.get_rcode() == 2


async def test_an_external_name_is_chased_upstream_and_fails_as_its_target_does() -> None:
    lines = ("a.example. 60 A 192.0.2.1",)
    async with upstream(zone(*lines)) as fake:
        source = HandFed()
        chain = chain_to(fake.place, source=source)
        source.sync_all(
            [
                namespace("d"),
                service("x", namespace="d", external="A.example"),
                service("y", namespace="d", external="b.example"),
            ]
        )
        reply = await ask(chain, "x.d.svc.cluster.local")
        assert [(str(r.rname), str(r.rdata)) for r in reply.rr] == [
            ("x.d.svc.cluster.local.", "a.example."),
            ("a.example.", "192.0.2.1"),
        ]
        missing = await ask(chain, "y.d.svc.cluster.local")
        assert (missing.header.get_rcode(), data(missing)) == (3, ["b.example."])
        assert len(missing.auth) == 1


async def test_the_closest_stub_zone_decides_whom_to_ask() -> None:
    async with (
        upstream(zone("a.example. 60 A 192.0.2.1")) as rest,
        upstream(zone("a.corp.example. 60 A 192.0.2.2")) as corp,
    ):
        everything = Forwarding(upstreams=(rest.place,))
        stub = Forwarding("corp.example", (corp.place,))
        chain = load(Setup(Settings(forwards=(everything, stub)), lambda: 1.0, lambda: 1.0))
        assert data(await ask(chain, "a.example")) == ["192.0.2.1"]
        assert data(await ask(chain, "A.Corp.example")) == ["192.0.2.2"]
        assert len(rest.asked) == 1
        alone = load(Setup(Settings(forwards=(stub,)), lambda: 1.0, lambda: 1.0))
        assert (await ask(alone, "a.corp.example")).rr
        assert (await ask(alone, "xcorp.example")).header.get_rcode() == 5


async def test_cluster_names_are_never_asked_upstream_nor_remembered() -> None:
    async with upstream(zone()) as fake:
        source = HandFed()
        chain = chain_to(fake.place, source=source)
        assert (await ask(chain, "web.d.svc.cluster.local")).header.get_rcode() == 2, "not known yet"
        source.sync_all([namespace("d")])
        assert (await ask(chain, "web.d.svc.cluster.local")).header.get_rcode() == 3
        source.put(SERVICES, service("web", namespace="d", ips=["10.96.0.1"]))
        assert data(await ask(chain, "web.d.svc.cluster.local")) == ["10.96.0.1"]
        source.remove(SERVICES, "d/web")
        assert (await ask(chain, "web.d.svc.cluster.local")).header.get_rcode() == 3
        assert not fake.asked


async def test_what_is_asked_for_often_is_asked_again_before_it_ends() -> None:
    clock = Clock()
    async with upstream(zone("a.example. 100 A 192.0.2.1")) as fake:
        chain = chain_with(Caching(prefetch=3, prefetch_percent=20), fake.place, clock=clock)
        for _ in range(4):
            await ask(chain, "a.example")
        clock.now += 85
        assert (await ask(chain, "a.example")).rr[0].ttl == 15, "seldom asked for within the last minute"
        assert len(fake.asked) == 1
        await ask(chain, "a.example")
        reply = await ask(chain, "a.example")
        assert reply.rr[0].ttl == 15, "nobody waits for it"
        await eventually(lambda: len(fake.asked) == 2)
        assert (await ask(chain, "a.example")).rr[0].ttl == 100
        assert chain.plugins[0].counts.prefetches == 1  # type: ignore[attr-defined]


async def test_a_stale_answer_helps_out_while_no_upstream_answers() -> None:
    clock = Clock()
    async with upstream(zone("a.example. 10 A 192.0.2.1")) as fake:
        chain = chain_with(Caching(stale=100.0), fake.place, clock=clock)
        await ask(chain, "a.example")
    clock.now += 50
    reply = await ask(chain, "a.example")
    assert (data(reply), reply.rr[0].ttl) == (["192.0.2.1"], 0)
    clock.now += 61
    assert (await ask(chain, "a.example")).header.get_rcode() == 2


async def test_a_stale_answer_is_told_at_once_while_it_is_asked_for_again() -> None:
    clock = Clock()
    async with upstream(zone("a.example. 10 A 192.0.2.1")) as fake:
        chain = chain_with(Caching(stale=100.0, stale_verified=False), fake.place, clock=clock)
        await ask(chain, "a.example")
        clock.now += 50
        reply = await ask(chain, "a.example")
        assert (data(reply), reply.rr[0].ttl) == (["192.0.2.1"], 0)
        await eventually(lambda: len(fake.asked) == 2)
        assert (await ask(chain, "a.example")).rr[0].ttl == 10


async def test_failures_are_remembered_for_a_moment_and_some_zones_not_at_all() -> None:
    clock = Clock()
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as fake:
        nobody = Upstream("127.0.0.1", unused_port())
        failing = chain_with(Caching(), nobody, clock=clock)
        assert (await ask(failing, "a.example")).header.get_rcode() == 2
        assert failing.plugins[0].sizes == (0, 1)  # type: ignore[attr-defined]
        without = chain_with(Caching(disabled=(("success", "example"),)), fake.place, clock=clock)
        for _ in range(3):
            await ask(without, "a.example")
        assert len(fake.asked) == 3


async def test_policies_limits_and_exceptions() -> None:
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as one, upstream(zone("a.example. 60 A 192.0.2.2")) as two:
        both = (one.place, two.place)
        turns = forwarding(Forwarding(upstreams=both, policy="round_robin"))
        assert {tuple(data(await ask(turns, "a.example"))) for _ in range(2)} == {("192.0.2.1",), ("192.0.2.2",)}
        chance = forwarding(Forwarding(upstreams=both, policy="random"))
        assert len({tuple(data(await ask(chance, "a.example"))) for _ in range(40)}) == 2
        full = forwarding(Forwarding(upstreams=both, most=1))
        replies = await asyncio.gather(*(ask(full, "a.example") for _ in range(5)))
        assert sorted(reply.header.get_rcode() for reply in replies) == [0, 5, 5, 5, 5]
        excepted = forwarding(Forwarding(upstreams=both, excepted=("a.example",)))
        assert (await ask(excepted, "a.example")).header.get_rcode() == 5
        assert (await ask(excepted, "b.example")).header.get_rcode() == 3


async def test_an_upstream_that_failed_is_asked_whether_it_is_back() -> None:
    async with upstream(zone("a.example. 60 A 192.0.2.1")) as well, upstream(zone("a.example. 60 A 192.0.2.2")) as late:
        silenced = late.reply
        late.reply = lambda _: []
        chain = forwarding(Forwarding(upstreams=(late.place, well.place), probe=0.05), timeout=0.2)
        job = asyncio.get_running_loop().create_task(chain.run())
        assert data(await ask(chain, "a.example")) == ["192.0.2.1"]
        late.reply = silenced
        await eventually(lambda: any(query.q.qtype == dnslib.QTYPE.NS for query in late.asked))
        await eventually(lambda: not chain.plugins[0].groups[0]._held)  # type: ignore[attr-defined]
        assert data(await ask(chain, "a.example")) == ["192.0.2.2"]
        job.cancel()


async def test_upstreams_of_a_file_are_followed_and_never_lead_back_here(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\nnameserver 127.0.0.1\n")
    chain = forwarding(Forwarding(files=(str(file),), never=((ip_address("127.0.0.1"), 53),)))
    group = chain.plugins[0].groups[0]  # type: ignore[attr-defined]
    assert group.upstreams == (Upstream("192.0.2.1"),)
    file.write_text("nameserver 192.0.2.2\n")
    group.follow()
    assert group.upstreams == (Upstream("192.0.2.2"),)
    file.unlink()
    group.follow()
    assert group.upstreams == (Upstream("192.0.2.2"),), "a file that is gone changes nothing"


def chain_with(cache: Caching, server: Upstream, *, clock: Clock) -> Chain:
    settings = Settings(forwards=(Forwarding(upstreams=(server,)),), timeout=5.0, cache=cache)
    return load(Setup(settings, lambda: 1.0, clock))


def forwarding(settings: Forwarding, timeout: float = 5.0) -> Chain:
    return load(Setup(Settings(forwards=(settings,), timeout=timeout, cache=None), lambda: 1.0, time.monotonic))


async def eventually(wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not wanted():  # noqa: ASYNC110  # what happens is in other tasks
            await asyncio.sleep(0.01)
