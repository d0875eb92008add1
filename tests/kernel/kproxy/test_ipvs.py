"""The IPVS backend and a kernel that has IPVS: schedulers, weights, graceful removal, taking over, leaving."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from kapi.network import Protocol, Reference
from kproxy.backends.addresses import addresses, exists
from kproxy.backends.ipvs import wire
from kproxy.backends.ipvs.backend import Ipvs
from kproxy.backends.ipvs.compile import Compiled, Server, Virtual, compile_service
from kproxy.backends.ipvs.layout import DEVICE, LOOP_BACK
from kproxy.host import InNamespace
from kproxy.model import Counted, Duties, Frontend, Kind, NodeDuties, Place, Target
from kproxy.modes import clear_others
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Up, Veth

pytestmark = pytest.mark.uml

VIP, LB = ip_address("10.96.0.1"), ip_address("203.0.113.1")
SERVER = Server(4, 6, VIP.packed, 80)
NODE = NodeDuties(service_cidrs=(ip_network("10.96.0.0/16"),))


def duties(*last: int, affinity: int = 0, outside: tuple[int, ...] | None = None) -> Duties:
    def pool(numbers: tuple[int, ...]) -> tuple[Target, ...]:
        return tuple(Target(ip_address(f"10.244.1.{n}"), 8080) for n in numbers)

    frontend = Frontend(Place(4, VIP, Protocol.TCP, 80), Kind.CLUSTER_IP, "default/web:http", pool(last))
    frontend = replace(frontend, affinity_seconds=affinity)
    place = Place(4, LB, Protocol.TCP, 80)
    external = replace(
        frontend, place=place, kind=Kind.LOAD_BALANCER, outside=None if outside is None else pool(outside)
    )
    return Duties("default/web", Reference("Service", "default", "web"), (frontend, external), (VIP,))


@pytest.fixture
def backend(namespace: Namespace) -> Iterator[Ipvs]:
    with closing(Ipvs(InNamespace(namespace.fd))) as made:
        assert made.missing() is None
        yield made


def weights(backend: Ipvs, server: Server = SERVER) -> dict[int, int]:
    """The real servers by the last number of their address."""
    return {int(r.target.address) & 0xFF: r.weight for r in backend._kernel.destinations(server)}


@contextmanager
def at_endpoint(namespace: Namespace) -> Iterator[socket.socket]:
    """A server at the endpoint 2, which `namespace` is connected to."""
    with Namespace.create() as pod:
        namespace.apply([Veth("v", "pod", "eth0"), Up("lo")], {"pod": pod})
        namespace.apply([Assign("v", ip_interface("10.244.1.1/24"))])
        pod.apply([Assign("eth0", ip_interface("10.244.1.2/24"))])
        with pod.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.bind(("10.244.1.2", 8080))
            server.listen()
            yield server


def kind(backend: Ipvs) -> tuple[str, int]:
    """The scheduler and affinity of the virtual server."""
    kept = backend._kernel.services()[SERVER]
    return kept.scheduler, kept.affinity


@pytest.mark.parametrize(
    "scheduler", ["rr", "wrr", "lc", "wlc", "sh", "dh", "sed", "nq", "mh", "lblc", "lblcr", "fo", "ovf"]
)
async def test_every_scheduler_is_taken(namespace: Namespace, scheduler: str) -> None:
    with closing(Ipvs(InNamespace(namespace.fd), scheduler)) as backend:
        assert not await backend.resync(NODE, {"default/web": duties(2, 3)})
        assert kind(backend) == (scheduler, 0)


async def test_an_unknown_scheduler_is_told_with_its_service(namespace: Namespace) -> None:
    with closing(Ipvs(InNamespace(namespace.fd), "roulette")) as backend:
        refused = await backend.resync(NODE, {"default/web": duties(2)})
        assert "IPVS did not take" in refused["default/web"]


async def test_weights_and_affinity_are_the_kernels(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2, 2, 2, 3, affinity=600)})
    assert weights(backend) == {2: 3, 3: 1}
    assert kind(backend) == ("wrr", 600)
    assert not await backend.commit({"default/web": duties(2, 3)})
    assert weights(backend) == {2: 1, 3: 1}
    assert kind(backend) == ("rr", 0)


async def test_endpoints_without_connections_go_and_come(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2, 3)})
    for last in ((2,), (3, 4), (), (5,)):
        assert not await backend.commit({"default/web": duties(*last)})
        assert set(weights(backend) if last else ()) == set(last)
    assert not await backend.commit({"default/web": None})
    assert not backend._kernel.services()
    assert not addresses(backend._host, DEVICE)[True]


async def test_an_endpoint_stays_until_its_last_connection_ends(namespace: Namespace, backend: Ipvs) -> None:
    with at_endpoint(namespace) as server:
        await backend.resync(NODE, {"default/web": duties(2)})
        with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect((str(VIP), 80))
            with server.accept()[0] as accepted:
                await backend.commit({"default/web": duties(3)})
                assert weights(backend) == {2: 0, 3: 1}
                client.send(b"still here")
                assert accepted.recv(100) == b"still here"
                await backend.commit({"default/web": duties(2, 3)})  # it comes back while it is leaving
                assert weights(backend) == {2: 1, 3: 1}


async def test_a_restart_takes_over_and_removes_what_is_gone(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2, 3, outside=(2,))})
    assert len(backend._kernel.services()) == 3
    successor = Ipvs(backend.host)
    await successor.resync(NODE, {"default/web": duties(3)})
    assert not await successor.drifted()
    assert weights(successor) == {3: 1}
    assert len(successor._kernel.services()) == 2
    successor.close()


async def test_somebody_elses_hand_is_noticed(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2)})
    assert not await backend.drifted()
    backend._host.run(["ip", "address", "delete", f"{VIP}/32", "dev", DEVICE])
    assert await backend.drifted()
    await backend.resync(NODE, {"default/web": duties(2)})
    assert addresses(backend._host, DEVICE)[True] == {VIP, LB}


async def test_virtual_servers_of_others_stay_through_it_all(namespace: Namespace, backend: Ipvs) -> None:
    """Such as keepalived's: there before, made while we work, and after."""
    namespace.apply([Up("lo")])  # without an address, the kernel takes no real server
    lvs = [Server(4, 6, ip_address(f"198.51.100.{n}").packed, 443) for n in (1, 2)] + [Server(4, mark=7)]
    target = Target(ip_address("10.9.0.1"), 443)
    make = [wire.new_service(Virtual(s, "rr", {}), "") for s in lvs]
    make += [wire.new_destination(s, target, 5, "") for s in lvs]
    backend._kernel.carry_out([request for place, request in enumerate(make) if place % 3 != 1])
    await backend.resync(NODE, {"default/web": duties(2, outside=(2,))})
    assert not await backend.drifted()
    backend._kernel.carry_out([request for place, request in enumerate(make) if place % 3 == 1])
    assert not await backend.drifted()
    await backend.commit({"default/web": duties(3)})
    for one in lvs:
        assert weights(backend, one) == {1: 5}
    with closing(Ipvs(backend.host)) as successor:
        await successor.resync(NODE, {})
        assert not await successor.drifted()
        assert set(successor._kernel.services()) == set(lvs)
        await successor.clear()
        for one in lvs:
            assert weights(successor, one) == {1: 5}


async def test_what_is_excluded_is_not_removed_at_a_start(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2)})
    with closing(Ipvs(backend.host)) as successor:
        successor.excluded = (ip_network("10.96.0.0/24"),)
        await successor.resync(NODE, {})
        await successor.drifted()  # a look takes away what has no connection
        assert set(successor._kernel.services()) == {SERVER}


async def test_a_node_port_that_went_while_no_proxy_ran_is_removed(namespace: Namespace, backend: Ipvs) -> None:
    namespace.apply([Up("lo")])
    backend._host.run(["ip", "link", "add", "node0", "type", "dummy"])
    backend._host.run(["ip", "address", "add", "192.0.2.1/32", "dev", "node0"])
    owed = duties(2)
    port = replace(owed.frontends[0], place=Place(4, None, Protocol.TCP, 30080), kind=Kind.NODE_PORT)
    node = replace(NODE, node_port_networks=(ip_network("192.0.2.0/24"),))
    await backend.resync(node, {"default/web": replace(owed, frontends=(port,))})
    assert Server(4, 6, ip_address("192.0.2.1").packed, 30080) in backend._kernel.services()
    with closing(Ipvs(backend.host)) as successor:
        await successor.resync(node, {})
        await successor.drifted()
        assert not successor._kernel.services()


async def test_another_mode_leaves_nothing_of_it(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2)})
    await clear_others(backend._host, "iptables")
    assert not backend._kernel.services()
    assert not exists(backend._host, DEVICE)


async def test_clearing_leaves_no_trace(backend: Ipvs) -> None:
    await backend.resync(NODE, {"default/web": duties(2, outside=(2,))})
    await backend.clear()
    assert not backend._kernel.services()
    assert not backend._host.run(["ipset", "list", "-name"]).stdout
    assert backend._host.run(["ip", "link", "show", DEVICE]).returncode
    await backend.clear()


async def test_what_two_services_owe_stays_until_neither_does(backend: Ipvs) -> None:
    one = replace(duties(2), own=(ip_address("10.244.1.2"),))
    moved = tuple(replace(f, place=replace(f.place, address=ip_address("10.96.0.2"))) for f in one.frontends[:1])
    other = replace(one, key="default/other", frontends=moved, cluster_ips=(ip_address("10.96.0.2"),))
    await backend.resync(NODE, {"default/web": one, "default/other": other})
    await backend.commit({"default/other": None})
    assert loops(backend) == 1
    await backend.commit({"default/web": None})
    assert loops(backend) == 0


def loops(backend: Ipvs) -> int:
    """The endpoints that may reach themselves, as the kernel has them."""
    assert backend.host
    saved = backend.host.run(["ipset", "save", LOOP_BACK]).stdout.decode()
    return sum(line.startswith("add ") for line in saved.splitlines())


async def test_an_address_that_goes_from_a_service_to_another_is_served_on(backend: Ipvs) -> None:
    first = duties(2)
    second = replace(duties(2, 3), key="default/heir")
    await backend.resync(NODE, {"default/web": first})
    assert not await backend.commit({"default/heir": second, "default/web": None})
    assert weights(backend) == {2: 1, 3: 1}
    assert backend.host
    assert VIP in addresses(backend.host, DEVICE)[True]


async def test_a_node_port_and_an_external_address_may_be_one_virtual_server(
    namespace: Namespace, backend: Ipvs
) -> None:
    own = ip_address("192.168.1.10")
    namespace.apply([Up("lo"), Assign("lo", ip_interface(f"{own}/32"))])
    node = replace(NODE, node_port_networks=(ip_network("192.168.1.0/24"),))

    def asking(key: str, kind: Kind, last: int) -> Duties:
        first = duties(last).frontends[0]
        place = Place(4, None if kind is Kind.NODE_PORT else own, Protocol.TCP, 30080)
        return replace(duties(last), key=key, frontends=(replace(first, place=place, kind=kind),), cluster_ips=())

    server = Server(4, 6, own.packed, 30080)
    ported, named = asking("default/a", Kind.NODE_PORT, 2), asking("default/b", Kind.EXTERNAL_IP, 3)
    await backend.resync(node, {"default/a": ported, "default/b": named})
    assert weights(backend, server) == {3: 1}
    assert not await backend.commit({"default/a": None})
    assert weights(backend, server) == {3: 1}
    assert not await backend.commit({"default/b": asking("default/b", Kind.EXTERNAL_IP, 4)})
    assert weights(backend, server) == {4: 1}
    assert not await backend.commit({"default/a": ported})
    assert not await backend.commit({"default/b": None})
    assert weights(backend, server) == {2: 1}


async def test_a_virtual_server_that_is_gone_has_no_endpoints(backend: Ipvs) -> None:
    assert not backend._kernel.destinations(SERVER)


async def test_packets_and_bytes_of_endpoints_are_told(namespace: Namespace, backend: Ipvs) -> None:
    with at_endpoint(namespace) as server:
        await backend.resync(NODE, {"default/web": duties(2, 3)})
        assert not list(backend.traffic())
        await backend.commit({"default/web": duties(2)})
        with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect((str(VIP), 80))
            with server.accept()[0] as accepted:
                accepted.send(b"x" * 1000)
                client.recv(1000)
                told = list[Counted]()
                while sum(c.bytes for c in told if c.direction == "out") <= 1000:
                    await asyncio.sleep(0.2)  # the kernel sums its counters up every two seconds
                    told = list(backend.traffic())
                assert {(str(c.called), str(c.endpoint)) for c in told} == {(f"{VIP}:80/TCP", "10.244.1.2:8080")}
                sizes = {c.direction: (c.packets, c.bytes) for c in told}
                assert sizes["out"][1] > 1000 > sizes["in"][1] >= 40 * sizes["in"][0] >= 80


async def test_a_service_whose_rules_cannot_be_worked_out_leaves_the_others_theirs(
    backend: Ipvs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(asked: Duties, first_mark: int, scheduler: str) -> Compiled:
        if asked.key == "default/bad":
            raise ZeroDivisionError
        return compile_service(asked, first_mark, scheduler)

    monkeypatch.setattr("kproxy.backends.ipvs.backend.compile_service", broken)
    at = tuple(replace(each, place=replace(each.place, port=81)) for each in duties(9).frontends)
    bad = replace(duties(9), key="default/bad", frontends=at)
    assert (await backend.resync(NODE, {bad.key: bad, "default/web": duties(2)})).keys() == {bad.key}
    assert (await backend.commit({bad.key: bad, "default/web": duties(3)})).keys() == {bad.key}
    assert 3 in weights(backend)
    assert replace(SERVER, port=81) not in backend._kernel.services()
