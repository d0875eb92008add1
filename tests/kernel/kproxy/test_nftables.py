"""The nftables backend and a real kernel: what is written, read back, repaired, refused and removed."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from kapi.network import Address, Protocol, Reference
from kproxy.backends.nftables import encode, observe
from kproxy.backends.nftables.backend import Nftables
from kproxy.backends.nftables.encode import Operation, Step
from kproxy.backends.nftables.kernel import Kernel
from kproxy.errors import CommitFailed
from kproxy.host import InNamespace
from kproxy.model import Duties, Frontend, Kind, LocalTraffic, NodeDuties, Place, Target
from kproxy.rules.text import render
from netnslab.kernel import Namespace

NODE = NodeDuties(
    node_port_networks=(ip_network("0.0.0.0/0"), ip_network("fd30::11/128")),
    local_traffic=LocalTraffic(networks=(ip_network("10.244.0.0/16"), ip_network("fd44::/32"))),
    service_cidrs=(ip_network("10.96.0.0/16"), ip_network("fd96::/112")),
)


def pool(*last: int) -> tuple[Target, ...]:
    return tuple(Target(ip_address(f"10.244.1.{n}"), 8080) for n in last)


def duties(
    name: str = "web", vip: str = "10.96.0.1", endpoints: tuple[Target, ...] = pool(2, 3, 4), affinity: int = 0
) -> Duties:
    address: Address = ip_address(vip)

    def frontend(at: Address | None, port: int, kind: Kind, outside: tuple[Target, ...] | None) -> Frontend:
        place = Place(4, at, Protocol.TCP, port)
        return Frontend(place, kind, f"default/{name}:http", endpoints, outside, affinity_seconds=affinity)

    balanced = replace(
        frontend(ip_address("203.0.113.1"), 80, Kind.LOAD_BALANCER, endpoints[:1]),
        sources=(ip_network("192.0.2.0/24"), ip_network("198.51.100.7/32")),
    )
    frontends = [frontend(address, 80, Kind.CLUSTER_IP, None)]
    if name == "web":
        frontends += [balanced, frontend(None, 30080, Kind.NODE_PORT, endpoints[:1])]
    own = tuple(target.address for target in endpoints[:1])
    return Duties(f"default/{name}", Reference("Service", "default", name), tuple(frontends), (address,), own)


def listing(namespace: Namespace) -> str:
    with namespace.entered():
        ran = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    return ran.stdout


def nft(namespace: Namespace, *commands: str) -> None:
    with namespace.entered():
        for command in commands:
            subprocess.run(["nft", "-f", "-"], input=command, text=True, check=True)


@contextmanager
def again(namespace: Namespace) -> Iterator[Nftables]:
    """The backend after a restart of its process."""
    with closing(Nftables(InNamespace(namespace.fd))) as backend:
        yield backend


def generation(namespace: Namespace) -> int:
    with closing(Kernel(InNamespace(namespace.fd))) as kernel:
        return kernel.generation()


def differences(backend: Nftables) -> list[Step]:
    """What the kernel has otherwise than the backend believes."""
    dump = backend._filter.dump
    return [
        step
        for table in backend.ruleset().tables
        for step in observe.differences(observe.observe(dump, table.family, "kproxy", table.sets), table)
    ]


@pytest.mark.parametrize("affinity", [0, 3600])
async def test_the_kernel_has_what_the_rules_say(backend: Nftables, affinity: int) -> None:
    owed = duties(affinity=affinity)
    assert not await backend.resync(NODE, {owed.key: owed})
    assert not differences(backend)


async def test_the_listing_is_legible_and_loads_again(backend: Nftables, namespace: Namespace) -> None:
    owed = duties(affinity=60)
    await backend.resync(NODE, {owed.key: owed, "default/b": duties("b", "10.96.0.2")})
    listed = listing(namespace)
    assert '10.96.0.2 . 80 comment "default/b:http" : goto tcp-cluster-4' in listed
    assert "dnat ip to ip daddr . tcp dport . numgen random mod 4 map @tcp-endpoints" in listed
    assert "10.96.0.2 . 80 . 1 : 10.244.1.3 . 8080" in listed
    assert "meta mark set meta mark & 0xffffbfff masquerade fully-random" in listed
    nft(namespace, "flush ruleset", listed)
    assert listing(namespace) == listed


async def test_the_text_of_the_rules_is_what_nft_takes_and_lists(backend: Nftables, namespace: Namespace) -> None:
    owed = duties(affinity=60)
    await backend.resync(NODE, {owed.key: owed})
    listed = listing(namespace)
    nft(namespace, "flush ruleset", render(backend.ruleset()))
    assert _lines(listing(namespace)) == _lines(listed)


def _lines(listed: str) -> list[str]:
    """The lines of a listing, without the tables' comments and the order of what has none."""
    return sorted(line.strip(" \t,") for line in listed.splitlines() if 'comment "kproxy' not in line)


@pytest.mark.parametrize(
    "steps",
    [
        [pool(2, 3, 4), pool(2, 4), pool(4), (), pool(2), pool(2, 3, 4, 5, 6, 7, 8, 9)],
        [pool(*range(2, 40)), pool(*range(2, 40, 3)), pool(*range(9, 30))],
    ],
)
@pytest.mark.parametrize("affinity", [0, 60])
async def test_every_step_of_a_changing_service_is_in_the_kernel(
    backend: Nftables, steps: Sequence[tuple[Target, ...]], affinity: int
) -> None:
    await backend.resync(NODE, {})
    for endpoints in steps:
        owed = duties(endpoints=endpoints, affinity=affinity)
        assert not await backend.commit({owed.key: owed})
        assert not differences(backend)
    assert not await backend.commit({"default/web": None})
    assert not differences(backend)


async def test_affinity_is_switched_on_and_off_and_its_time_changed(backend: Nftables, namespace: Namespace) -> None:
    await backend.resync(NODE, {})
    for seconds in (0, 60, 7200, 0):
        await backend.commit({"default/web": duties(affinity=seconds)})
        assert not differences(backend)
        assert ("timeout 2h" in listing(namespace)) is (seconds == 7200)


async def test_a_restart_writes_nothing_that_is_there(backend: Nftables, namespace: Namespace) -> None:
    owed = {d.key: d for d in (duties(affinity=60), duties("b", "10.96.0.2"))}
    await backend.resync(NODE, owed)
    before = generation(namespace)
    with again(namespace) as successor:
        await successor.resync(NODE, owed)
    assert generation(namespace) == before


async def test_a_restart_finds_what_changed_meanwhile(backend: Nftables, namespace: Namespace) -> None:
    await backend.resync(NODE, {d.key: d for d in (duties(affinity=60), duties("b", "10.96.0.2"))})
    owed = {d.key: d for d in (duties("b", "10.96.0.2", pool(7)), duties("c", "10.96.0.3"))}
    with again(namespace) as successor:
        await successor.resync(NODE, owed)
        assert not differences(successor)


async def test_a_new_layout_replaces_the_old_one(backend: Nftables, namespace: Namespace) -> None:
    owed = duties()
    await backend.resync(NODE, {owed.key: owed})
    other = replace(NODE, masquerade_mark=0x8000)
    await backend.resync(other, {owed.key: owed})
    assert "0x00008000" in listing(namespace)
    assert not differences(backend)


@pytest.mark.parametrize(
    "mischief",
    [
        "flush ruleset",
        "delete table ip6 kproxy",
        "flush map ip kproxy tcp-endpoints",
        "flush chain ip kproxy services",
        "add rule ip kproxy services drop",
        "insert rule ip kproxy tcp-cluster-4 accept",
        "add element ip kproxy cluster-ips { 10.96.7.7 }",
        "add chain ip kproxy extra",
    ],
)
async def test_somebody_elses_hand_is_noticed_and_undone(
    backend: Nftables, namespace: Namespace, mischief: str
) -> None:
    owed = duties()
    await backend.resync(NODE, {owed.key: owed})
    assert not await backend.drifted()
    nft(namespace, mischief)
    assert await backend.drifted()
    await backend.resync(NODE, {owed.key: owed})
    assert not differences(backend)
    assert not await backend.drifted()


async def test_other_tables_are_nobodys_drift(backend: Nftables, namespace: Namespace) -> None:
    await backend.resync(NODE, {})
    nft(namespace, "add table ip other")
    assert not await backend.drifted()


async def test_a_refused_service_is_left_out_and_the_others_go_in(backend: Nftables, namespace: Namespace) -> None:
    await backend.resync(NODE, {})
    nft(namespace, "add element ip kproxy tcp-frontends { 10.96.0.2 . 80 : drop }")
    refused = await backend.commit({d.key: d for d in (duties("bad", "10.96.0.2"), duties("good", "10.96.0.3"))})
    assert list(refused) == ["default/bad"]
    assert "new elements" in refused["default/bad"]
    assert "default/good:http" in listing(namespace)


async def test_clearing_leaves_no_trace(backend: Nftables, namespace: Namespace) -> None:
    await backend.resync(NODE, {"default/web": duties(affinity=60)})
    await backend.clear()
    assert listing(namespace) == ""
    await backend.clear()


async def test_a_batch_too_large_for_the_socket_goes_in_pieces(namespace: Namespace) -> None:
    class Small(Kernel):
        def _open(self) -> socket.socket:
            opened = super()._open()
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
            return opened

    many = [duties(f"s{n}", f"10.96.{n // 250}.{n % 250 + 1}") for n in range(1500)]
    with closing(Nftables(None, Small(InNamespace(namespace.fd)))) as backend:
        assert not await backend.resync(NODE, {d.key: d for d in many})
        assert not differences(backend)


async def test_a_failure_that_is_nobodys_fault_is_told_as_such(namespace: Namespace) -> None:
    with closing(Kernel(InNamespace(namespace.fd))) as kernel:
        with pytest.raises(CommitFailed, match="delete table"):
            kernel.commit([encode.delete_table(4, "nowhere")])
        assert kernel.dump(Operation.GET_TABLE, 4) == []
