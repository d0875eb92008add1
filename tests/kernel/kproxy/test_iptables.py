"""The iptables backend, both flavours, and a real kernel: what is written, read back, repaired, refused and removed."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from kapi.network import Protocol, Reference
from kproxy.backends import load
from kproxy.backends.iptables import changes
from kproxy.backends.iptables.backend import Iptables
from kproxy.backends.iptables.compile import Compiled, compile_service
from kproxy.backends.iptables.layout import chain_name
from kproxy.host import InNamespace
from kproxy.model import Duties, Frontend, HealthCheck, Kind, LocalTraffic, NodeDuties, Place, Pool, Target
from netnslab.kernel import Namespace
from netnslab.steps import Up

FLAVOURS = ("iptables-legacy", "iptables-nft")
NODE = NodeDuties(
    node_port_networks=(ip_network("0.0.0.0/0"), ip_network("fd30::11/128")),
    local_traffic=LocalTraffic(networks=(ip_network("10.244.0.0/16"), ip_network("fd44::/32"))),
    service_cidrs=(ip_network("10.96.0.0/16"), ip_network("fd96::/112")),
)


def pool(*last: int) -> Pool:
    return tuple(Target(ip_address(f"10.244.1.{n}"), 8080) for n in last)


THREE = pool(2, 3, 4)


def duties(
    name: str = "web", vip: str = "10.96.0.1", endpoints: Pool = THREE, affinity: int = 0, port: int = 80
) -> Duties:
    def frontend(place: Place, kind: Kind, outside: Pool | None = None) -> Frontend:
        return Frontend(place, kind, f"default/{name}:http", endpoints, outside, affinity_seconds=affinity)

    tcp, address = Protocol.TCP, ip_address(vip)
    frontends = [frontend(Place(4, address, tcp, port), Kind.CLUSTER_IP)]
    if name == "web":
        balanced = frontend(Place(4, ip_address("203.0.113.1"), tcp, 80), Kind.LOAD_BALANCER, endpoints[:1])
        frontends.append(replace(balanced, sources=(ip_network("192.0.2.0/24"), ip_network("198.51.100.7/32"))))
        frontends.append(frontend(Place(4, None, tcp, 30080), Kind.NODE_PORT, endpoints[:1]))
    return Duties(f"default/{name}", Reference("Service", "default", name), tuple(frontends), (address,))


@pytest.fixture(params=FLAVOURS)
def backend(request: pytest.FixtureRequest, namespace: Namespace) -> Iptables:
    made = load(request.param)(InNamespace(namespace.fd))
    assert isinstance(made, Iptables)
    if missing := made.missing():
        pytest.skip(missing)
    return made


def listed(backend: Iptables, family: int = 4) -> str:
    return backend._tool.save(family)


def agrees(backend: Iptables) -> bool:
    """Whether the kernel has the chains, and as many rules in each, as the backend believes."""
    return all(changes.counts(listed(backend, f)) == backend._place.counts(f) for f in (4, 6))


def shell(namespace: Namespace, backend: Iptables, arguments: str) -> None:
    with namespace.entered():
        subprocess.run([f"iptables{backend.flavour}", *arguments.split()], check=True, capture_output=True)


async def test_its_rules_are_counted_by_table(backend: Iptables) -> None:
    await backend.resync(NODE, {"default/web": duties()})
    await backend.commit({"default/more": duties("more", "10.96.0.2")})
    found: Counter[str] = Counter()
    for family in (4, 6):
        for chain, count in changes.counts(listed(backend, family)).items():
            found[chain.partition("/")[0]] += count
    assert {table: count for table, (count, _) in backend.rules().items()} == found
    assert {table: last for table, (_, last) in backend.rules().items() if last} == {"nat": 11, "filter": 1}


@pytest.mark.parametrize("affinity", [0, 3600])
async def test_the_kernel_has_what_the_rules_say(backend: Iptables, affinity: int) -> None:
    await backend.resync(NODE, {"default/web": duties(affinity=affinity)})
    assert agrees(backend)
    assert ("-m recent --rcheck --seconds 3600" in listed(backend)) is bool(affinity)


async def test_the_chains_are_called_as_kube_proxy_calls_them(backend: Iptables) -> None:
    await backend.resync(NODE, {"default/web": duties()})
    rules = listed(backend)
    service = chain_name("SVC", "default/web:http", "tcp")
    assert f"-A {service} ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp" in rules
    assert "-j KUBE-MARK-MASQ" in rules
    assert "-m statistic --mode random --probability 0.3333" in rules
    assert "--to-destination 10.244.1.2:8080" in rules


async def test_every_step_of_a_changing_service_is_in_the_kernel(backend: Iptables) -> None:
    await backend.resync(NODE, {"default/other": duties("other", "10.96.0.9")})
    for affinity in (0, 60):
        for endpoints in (pool(2, 3, 4), pool(2, 4), (), pool(2), pool(2, 3, 4, 5, 6), pool(2, 2, 3)):
            assert not await backend.commit({"default/web": duties(endpoints=endpoints, affinity=affinity)})
            assert agrees(backend), endpoints
    assert not await backend.commit({"default/web": None})
    assert agrees(backend)
    assert "default/web" not in listed(backend)
    assert "default/other" in listed(backend)


async def test_a_change_touches_no_other_service(backend: Iptables, namespace: Namespace) -> None:
    await backend.resync(NODE, {d.key: d for d in (duties(), duties("other", "10.96.0.9"))})
    other = chain_name("SVC", "default/other:http", "tcp")
    shell(namespace, backend, f"-t nat -A {other} -m comment --comment mine -j RETURN")
    await backend.commit({"default/web": duties(endpoints=pool(7))})
    assert "--comment mine" in listed(backend)


async def test_a_restart_takes_over_and_removes_what_is_gone(backend: Iptables) -> None:
    await backend.resync(NODE, {d.key: d for d in (duties(affinity=60), duties("other", "10.96.0.9"))})
    successor = type(backend)(backend.host)
    await successor.resync(NODE, {"default/c": duties("c", "10.96.0.3")})
    assert agrees(successor)
    assert listed(successor).count("kubernetes service portals") == 5


@pytest.mark.parametrize(
    "mischief",
    [
        "-t nat -F KUBE-SERVICES",
        "-t nat -F PREROUTING",
        "-t nat -F",
        "-t filter -A KUBE-FORWARD -j RETURN",
        "-t filter -D KUBE-CLUSTER-IPS 1",
    ],
)
async def test_somebody_elses_hand_is_noticed_and_undone(
    backend: Iptables, namespace: Namespace, mischief: str
) -> None:
    await backend.resync(NODE, {"default/web": duties()})
    for known in (False, True):  # before the first look after a commit, and later
        if known:
            assert not await backend.drifted()
            backend._next_look = 0
        shell(namespace, backend, mischief)
        assert await backend.drifted()
        await backend.resync(NODE, {"default/web": duties()})
        assert agrees(backend)


async def test_other_peoples_rules_are_nobodys_drift_and_stay(backend: Iptables, namespace: Namespace) -> None:
    shell(namespace, backend, "-t filter -A INPUT -s 192.0.2.1 -j DROP")
    await backend.resync(NODE, {"default/web": duties()})
    assert not await backend.drifted()
    shell(namespace, backend, "-t nat -A PREROUTING -s 192.0.2.9 -j ACCEPT")
    backend._next_look = 0
    assert not await backend.drifted()
    await backend.clear()
    rules = listed(backend)
    assert "KUBE-" not in rules
    assert "192.0.2.1" in rules
    assert "192.0.2.9" in rules


async def test_a_refused_service_is_left_out_and_the_others_go_in(backend: Iptables) -> None:
    bad = duties("bad", "10.96.0.2", port=70000)
    await backend.resync(NODE, {})
    good = [duties(f"good{n}", f"10.96.0.{n}") for n in (3, 4, 5)]
    refused = await backend.commit({d.key: d for d in (good[0], bad, *good[1:])})
    assert list(refused) == ["default/bad"]
    assert agrees(backend)
    assert all(f"default/{d.key.partition('/')[2]}:http" in listed(backend) for d in good)
    assert list(await backend.resync(NODE, {d.key: d for d in (bad, *good)})) == ["default/bad"]
    assert agrees(backend)


async def test_clearing_leaves_no_chain(backend: Iptables) -> None:
    await backend.resync(NODE, {"default/web": duties(affinity=60)})
    await backend.clear()
    assert "KUBE-" not in listed(backend) + listed(backend, 6)
    await backend.clear()


async def test_python_iptables_reads_the_legacy_chains_back(namespace: Namespace) -> None:
    import iptc

    backend = load("iptables-legacy")(InNamespace(namespace.fd))
    if missing := backend.missing():
        pytest.skip(missing)
    await backend.resync(NODE, {"default/web": duties()})
    with namespace.entered():
        table = iptc.Table(iptc.Table.NAT)
        table.refresh()
        chain = iptc.Chain(table, chain_name("SVC", "default/web:http", "tcp"))
        targets = [rule.target.name for rule in chain.rules]
        packets, _ = chain.rules[0].get_counters()
        table.close()
    assert targets == ["KUBE-MARK-MASQ", *(chain_name("SEP", "default/web:http", "tcp", f"{t}") for t in pool(2, 3, 4))]
    assert packets == 0


async def test_a_firewall_of_the_node_is_not_in_the_way_of_health_checks(
    backend: Iptables, namespace: Namespace
) -> None:
    namespace.apply([Up("lo")])
    checked = replace(duties(), health=HealthCheck(32000, 1))
    await backend.resync(NODE, {"default/web": checked})
    shell(namespace, backend, "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT")
    shell(namespace, backend, "-P INPUT DROP")

    def connects(port: int) -> bool:
        with (
            namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as server,
            namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
        ):
            server.bind(("127.0.0.1", port))
            server.listen()
            client.settimeout(0.3)
            try:
                client.connect(("127.0.0.1", port))
            except TimeoutError:
                return False
            return True

    assert connects(32000)
    assert not connects(32001)
    await backend.commit({"default/web": duties()})
    assert not connects(32000)
    assert agrees(backend)


async def test_a_service_whose_rules_cannot_be_worked_out_leaves_the_others_theirs(
    backend: Iptables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(asked: Duties, node: NodeDuties) -> Compiled:
        if asked.key == "default/bad":
            raise ZeroDivisionError
        return compile_service(asked, node)

    monkeypatch.setattr("kproxy.backends.iptables.backend.compile_service", broken)
    bad = duties("bad", "10.96.0.2")
    assert (await backend.resync(NODE, {bad.key: bad, "default/web": duties()})).keys() == {bad.key}
    other = duties("other", "10.96.0.3")
    assert (await backend.commit({bad.key: bad, other.key: other})).keys() == {bad.key}
    assert [vip in listed(backend) for vip in ("10.96.0.1/32", "10.96.0.2/32", "10.96.0.3/32")] == [True, False, True]
    assert agrees(backend)
