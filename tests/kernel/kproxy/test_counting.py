"""Packets and bytes per Service and endpoint, counted by the kernel, over real connections."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from kproxy import counting, exposition, modes
from kproxy.backends import load
from kproxy.counting import Counting
from kproxy.host import InNamespace
from kproxy.proxy import Proxy
from kproxy.rules.model import Ruleset
from kproxy.rules.text import render
from kproxy.settings import Settings, Traffic
from kproxy.sync import Done
from kproxy.testing import endpoint_slice
from kproxy.traffic import table
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Route, Sysctl, Up, Veth

VIP = {4: "10.96.0.1", 6: "fd96::1"}
NODE = {4: "10.244.1.1", 6: "fd44:0:0:1::1"}
SERVER = {4: "10.244.1.2", 6: "fd44:0:0:1::2"}
CLIENT = {4: "10.244.1.3", 6: "fd44:0:0:1::3"}
NODE_PORT = 30080
SAID = b"x" * 1000


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [
        {"name": "http", "port": 80, "nodePort": NODE_PORT},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    given = {"clusterIPs": [VIP[4], VIP[6]], "type": "NodePort", "ports": ports, **spec}
    return {"metadata": {"namespace": "shop", "name": name}, "spec": given}


def of_another(slice_: dict[str, Any]) -> dict[str, Any]:
    """The metadata of such a slice of the Service `new`."""
    return {**slice_["metadata"], "labels": {"kubernetes.io/service-name": "new"}}


def slices() -> list[dict[str, Any]]:
    ports = [{"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}]
    return [endpoint_slice("shop/web", f, [{"addresses": [SERVER[f]]}], ports) for f in (4, 6)]


@pytest.fixture
def ends(namespace: Namespace) -> Iterator[tuple[Namespace, Namespace]]:
    """A client and a server, each in a namespace, with `namespace` as their node."""
    everything = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
    with Namespace.create() as asking, Namespace.create() as server:
        namespace.apply([Up("lo"), Sysctl("net/ipv4/ip_forward", "1"), Sysctl("net/ipv6/conf/all/forwarding", "1")])
        for name, there, addresses in (("client", asking, CLIENT), ("server", server, SERVER)):
            there.apply([Sysctl("net/ipv6/conf/default/accept_dad", "0"), Up("lo")])
            namespace.apply([Sysctl("net/ipv6/conf/default/accept_dad", "0")])
            namespace.apply([Veth(f"v-{name}", name, "eth0")], {name: there})
            for family, width in ((4, 32), (6, 128)):
                at, gateway = addresses[family], NODE[family]
                namespace.apply([Assign(f"v-{name}", ip_interface(f"{gateway}/{width}"))])
                namespace.apply([Route(ip_network(at), link=f"v-{name}")])
                there.apply([Assign("eth0", ip_interface(f"{at}/{width}")), Route(ip_network(gateway), link="eth0")])
                there.apply([Route(everything[family], link="eth0", via=(ip_address(gateway),), onlink=True)])
        yield asking, server


@asynccontextmanager
async def proxied(namespace: Namespace, mode: str, **chosen: Any) -> AsyncIterator[Proxy]:
    backend = load(mode)(InNamespace(namespace.fd))
    if why := backend.missing():
        pytest.skip(why)
    settings = Settings(
        **{"metrics": ("127.0.0.1", 10249), "node_addresses": tuple(map(ip_address, NODE.values())), **chosen}
    )
    with closing(backend):
        async with Proxy(None, "here", backend, settings=settings) as proxy:
            await proxy.apply(services=[service()], endpoint_slices=slices())
            yield proxy


async def say(asking: Namespace, to: str, port: int) -> None:
    """Send a thousand bytes over TCP, and take the answer: the same."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with asking.socket(family, socket.SOCK_STREAM) as opened:
        opened.setblocking(False)
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().sock_connect(opened, (to, port))
            reader, writer = await asyncio.open_connection(sock=opened)
            writer.write(SAID)
            assert await reader.readexactly(len(SAID)) == SAID
            writer.close()
            await writer.wait_closed()


async def echoing(server: Namespace, family: int) -> asyncio.Server:
    """Send back what comes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()

    listening = server.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)
    listening.bind((SERVER[family], 8080))
    return await asyncio.start_server(answer, sock=listening)


async def metrics(namespace: Namespace) -> dict[str, float]:
    """The proxy's own counters of traffic, by name and labels."""
    with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", 10249))
        reader, writer = await asyncio.open_connection(sock=opened)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
    return {name: float(value) for name, value in re.findall(r"^(kproxy_\S+) (\S+)$", text, re.MULTILINE)}


def sent(name: str, direction: str, port: str = "http") -> str:
    about = f'namespace="shop",service="web",port="{port}",protocol="TCP",direction="{direction}"'
    return f"kproxy_{name}{{{about}}}"


@pytest.mark.parametrize("mode", ["nftables", "iptables-legacy", "iptables-nft"])
async def test_packets_and_bytes_are_counted_for_each_service_and_endpoint(
    namespace: Namespace, ends: tuple[Namespace, Namespace], mode: str
) -> None:
    asking, server = ends
    async with proxied(namespace, mode), await echoing(server, 4), await echoing(server, 6):
        for family in (4, 6):
            await say(asking, VIP[family], 80)
        await say(asking, NODE[4], NODE_PORT)
        found = await metrics(namespace)
    for direction in ("in", "out"):
        assert 3 * len(SAID) < found[sent("service_bytes_total", direction)] < 3 * 2 * len(SAID)
        assert found[sent("service_packets_total", direction)] > 3 * 3  # to open, to say, to close
    received = {name: value for name, value in found.items() if "endpoint_bytes" in name and '"in"' in name}
    ends_of = {name.partition('endpoint="')[2].partition('"')[0]: value for name, value in received.items()}
    assert ends_of.keys() == {"10.244.1.2:8080", "[fd44:0:0:1::2]:8080"}
    assert ends_of["10.244.1.2:8080"] > ends_of["[fd44:0:0:1::2]:8080"] > len(SAID)


async def test_a_forwarder_counts_what_it_carries(namespace: Namespace, ends: tuple[Namespace, Namespace]) -> None:
    asking, server = ends
    async with proxied(namespace, "userspace"), await echoing(server, 4), await echoing(server, 6):
        for family in (4, 6):
            await say(asking, VIP[family], 80)
        await say(asking, NODE[4], NODE_PORT)
        found = await metrics(namespace)
    for direction in ("in", "out"):
        assert found[sent("service_bytes_total", direction)] == 3 * len(SAID)
        assert found[sent("service_packets_total", direction)] >= 3
    endpoints = {name for name in found if "endpoint_bytes" in name and '"in"' in name}
    assert {name.partition('endpoint="')[2].partition('"')[0] for name in endpoints} == {
        "10.244.1.2:8080",
        "[fd44:0:0:1::2]:8080",
    }


async def test_a_restart_goes_on_counting_and_what_is_flushed_comes_back(
    namespace: Namespace, ends: tuple[Namespace, Namespace]
) -> None:
    asking, server = ends
    async with await echoing(server, 4):
        async with proxied(namespace, "nftables"):
            await say(asking, VIP[4], 80)
        async with proxied(namespace, "nftables"):
            before = (await metrics(namespace))[sent("service_bytes_total", "in")]
            assert before > len(SAID)
            await say(asking, VIP[4], 80)
            assert (await metrics(namespace))[sent("service_bytes_total", "in")] > before + len(SAID)
            for by in ("delete table ip kproxy-traffic", "flush table ip kproxy-traffic"):
                before = (await metrics(namespace))[sent("service_bytes_total", "in")]
                nft(namespace, by)
                assert (await metrics(namespace))[sent("service_bytes_total", "in")] == before
                await say(asking, VIP[4], 80)
                assert before + len(SAID) < (await metrics(namespace))[sent("service_bytes_total", "in")]


async def test_the_rules_are_legible_load_again_and_are_cleaned_up(namespace: Namespace) -> None:
    async with proxied(namespace, "nftables"):
        pass
    await modes.clear_others(InNamespace(namespace.fd), "nftables")
    listed = nft(namespace, "list table ip kproxy-traffic")
    asked = (
        "update @tcp-asked { ip daddr . tcp dport . ct original ip daddr . ct original proto-dst timeout 1d counter }"
    )
    assert asked in listed
    nft(namespace, "delete table ip kproxy-traffic")
    nft(namespace, "-f -", listed)
    assert nft(namespace, "list table ip kproxy-traffic") == listed
    nft(namespace, "delete table ip kproxy-traffic")
    nft(namespace, "-f -", render(Ruleset((table(4),))))
    assert asked in nft(namespace, "list table ip kproxy-traffic")
    await modes.clear_others(InNamespace(namespace.fd), "")
    assert nft(namespace, "list ruleset") == ""


async def test_rules_are_put_in_place_once_however_many_see_that_they_are_gone(namespace: Namespace) -> None:
    """Two proxies, as when one takes over from another, with a page each and a sync under way."""
    host = InNamespace(namespace.fd)
    with closing(load("nftables")(host)) as backend:
        if why := backend.missing():
            pytest.skip(why)
    proxies = [Counting(host), Counting(host)]
    for one in proxies:
        one.take(Done(0, 0.0, full=True))
    usual, gone = sys.getswitchinterval(), ("delete table", "flush table")
    sys.setswitchinterval(1e-4)
    try:
        for round_ in range(40):
            for family in ("ip", "ip6"):
                nft(namespace, f"{gone[round_ % 2]} {family} kproxy-traffic")
            reading = [asyncio.create_task(one.text()) for one in proxies]
            await asyncio.sleep(0)
            proxies[0].take(Done(0, 0.0, full=True))
            await asyncio.gather(*reading)
            for family in ("ip", "ip6"):
                assert nft(namespace, f"list table {family} kproxy-traffic").count("update @") == 6
    finally:
        sys.setswitchinterval(usual)


async def test_rules_that_are_there_twice_are_there_once_after_the_next_look(namespace: Namespace) -> None:
    namespace.apply([Up("lo")])
    async with proxied(namespace, "nftables"):
        listed = nft(namespace, "list table ip kproxy-traffic")
        nft(namespace, "-f -", listed)  # appends every rule once more
        assert nft(namespace, "list table ip kproxy-traffic") != listed
        await metrics(namespace)
        assert nft(namespace, "list table ip kproxy-traffic") == listed


async def test_the_event_loop_goes_on_while_counters_are_read_and_written(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    by: set[int] = set()

    def noted(*told: Any) -> Iterator[str]:
        by.add(threading.get_ident())
        yield from exposition.labelled(*told)

    monkeypatch.setattr("kproxy.totals.labelled", noted)
    namespace.apply([Up("lo")])
    async with proxied(namespace, "nftables"):
        await metrics(namespace)
    assert by
    assert threading.get_ident() not in by


async def test_a_service_that_gets_the_address_of_another_begins_at_nothing(
    namespace: Namespace, ends: tuple[Namespace, Namespace]
) -> None:
    asking, server = ends
    async with proxied(namespace, "nftables") as proxy, await echoing(server, 4):
        await say(asking, VIP[4], 80)
        for slices_ in ([], [{**s, "metadata": of_another(s)} for s in slices()]):
            await proxy.apply(services=[service("new")] if slices_ else [], endpoint_slices=slices_)
        found = await metrics(namespace)
        new = sent("service_bytes_total", "in").replace('"web"', '"new"')
        assert found[new] == 0
        assert not [name for name in found if '"web"' in name]
        await say(asking, VIP[4], 80)
        assert len(SAID) < (await metrics(namespace))[new] < 2 * len(SAID)


@pytest.mark.parametrize("traffic", Traffic)
async def test_what_is_told_is_as_it_is_asked_for(
    namespace: Namespace, ends: tuple[Namespace, Namespace], traffic: Traffic
) -> None:
    asking, server = ends
    async with await echoing(server, 4):
        async with proxied(namespace, "nftables"):
            await say(asking, VIP[4], 80)
        async with proxied(namespace, "nftables", traffic=traffic):
            names = {name.partition("{")[0] for name in await metrics(namespace)}
    wanted = {Traffic.NONE: [], Traffic.SERVICES: ["service"], Traffic.ENDPOINTS: ["service", "endpoint"]}[traffic]
    assert names == {f"kproxy_{whose}_{unit}_total" for whose in wanted for unit in ("packets", "bytes")}
    there = "kproxy-traffic" in nft(namespace, "list tables")
    assert there == bool(wanted)


async def test_a_proxy_without_metrics_leaves_nothing_that_counts(namespace: Namespace) -> None:
    async with proxied(namespace, "nftables"):
        assert "kproxy-traffic" in nft(namespace, "list tables")
    async with proxied(namespace, "nftables", metrics=None):
        assert "kproxy-traffic" not in nft(namespace, "list tables")


async def test_a_kernel_that_cannot_count_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class Without(InNamespace):
        def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
            raise OSError(93, "Protocol not supported")

    counted = Counting(Without(-1))
    counted.take(Done(0, 0.0, full=True))
    assert await counted.text() + await counted.text() == ""
    assert [r.message for r in caplog.records] == [
        "traffic of Services is not counted: this kernel has no netfilter netlink socket: Protocol not supported"
    ]
    assert [counting.counts(mode) for mode in ("nftables", "iptables-nft", "ipvs", "userspace", "")] == [
        *(True, True, False, False, False)
    ]


def nft(namespace: Namespace, words: str, given: str = "") -> str:
    with namespace.entered():
        command = ["nft", *words.split()]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
