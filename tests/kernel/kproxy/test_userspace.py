"""The userspace backend with real sockets: bulk, half-closed connections, flows, affinity, and no privilege at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest

from kapi.network import Protocol, Reference
from kproxy.backends.addresses import addresses
from kproxy.backends.userspace import tcp, udp
from kproxy.backends.userspace.amounts import Amounts
from kproxy.backends.userspace.backend import Userspace
from kproxy.host import InNamespace, ThisHost
from kproxy.model import Duties, Frontend, Kind, NodeDuties, Place, Pool, Target
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Up, Veth

VIP = ip_address("10.96.0.1")
LOCAL = ip_address("127.0.0.1")


@pytest.fixture
async def backend(namespace: Namespace) -> AsyncIterator[Userspace]:
    namespace.apply([Up("lo")])
    made = Userspace(InNamespace(namespace.fd))
    yield made
    made.close()


def duties(*ports: int, protocol: Protocol = Protocol.TCP, affinity: int = 0, at: Any = VIP) -> Duties:
    pool: Pool = tuple(Target(LOCAL, port) for port in ports)
    frontend = Frontend(Place(4, at, protocol, 8000), Kind.CLUSTER_IP, "default/web:p", pool)
    reference = Reference("Service", "default", "web")
    return Duties(
        "default/web", reference, (replace(frontend, affinity_seconds=affinity),), (VIP,) if at is VIP else ()
    )


async def echo(namespace: Namespace, port: int, name: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write(name)
        writer.close()

    listening = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return await asyncio.start_server(serve, sock=listening)


async def connect(namespace: Namespace) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    client = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, (str(VIP), 8000))
    except OSError:
        client.close()
        raise
    return await asyncio.open_connection(sock=client)


async def ask(namespace: Namespace) -> bytes:
    """Say nothing, end, and read who it was."""
    reader, writer = await connect(namespace)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_bulk_goes_both_ways_and_a_half_closed_connection_still_answers(
    namespace: Namespace, backend: Userspace
) -> None:
    async with await echo(namespace, 9001, b"first"):
        await backend.resync(NodeDuties(), {"default/web": duties(9001)})
        reader, writer = await connect(namespace)
        sent = os.urandom(1 << 20) * 24

        async def send() -> None:
            writer.write(sent)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        received = await reader.read()
        await sending
        assert hashlib.sha256(received).digest() == hashlib.sha256(sent + b"first").digest()
        writer.close()


async def test_clients_take_turns_and_with_affinity_stay(namespace: Namespace, backend: Userspace) -> None:
    async with await echo(namespace, 9001, b"1"), await echo(namespace, 9002, b"2"):
        await backend.resync(NodeDuties(), {"default/web": duties(9001, 9002)})
        assert [await ask(namespace) for _ in range(4)] == [b"1", b"2", b"1", b"2"]
        await backend.commit({"default/web": duties(9001, 9002, affinity=60)})
        assert len({await ask(namespace) for _ in range(4)}) == 1


async def test_an_endpoint_that_does_not_answer_is_passed_by(namespace: Namespace, backend: Userspace) -> None:
    async with await echo(namespace, 9002, b"2"):
        await backend.resync(NodeDuties(), {"default/web": duties(9001, 9002)})
        assert {await ask(namespace) for _ in range(4)} == {b"2"}


async def test_a_live_connection_outlives_its_service(namespace: Namespace, backend: Userspace) -> None:
    async with await echo(namespace, 9001, b"first"):
        await backend.resync(NodeDuties(), {"default/web": duties(9001)})
        reader, writer = await connect(namespace)
        writer.write(b"a")
        assert await reader.read(1) == b"a"
        await backend.commit({"default/web": replace(duties(9001), frontends=())})
        writer.write(b"b")
        assert await reader.read(1) == b"b"
        writer.close()
        await reader.read()
        with pytest.raises(ConnectionRefusedError):
            await connect(namespace)


async def test_udp_flows_are_per_client_and_move_when_their_endpoint_goes(
    namespace: Namespace, backend: Userspace
) -> None:
    loop = asyncio.get_running_loop()
    servers = []
    for port in (9001, 9002):
        server = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", port))
        server.setblocking(False)

        def answer(server: socket.socket = server, port: int = port) -> None:
            data, client = server.recvfrom(2000)
            server.sendto(data + str(port).encode(), client)

        loop.add_reader(server.fileno(), answer)
        servers.append(server)
    await backend.resync(NodeDuties(), {"default/web": duties(9001, protocol=Protocol.UDP)})
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((str(VIP), 8000))
        for endpoint in (9001, 9002):
            await backend.commit({"default/web": duties(endpoint, protocol=Protocol.UDP)})
            await loop.sock_sendall(client, b"?")
            assert await asyncio.wait_for(loop.sock_recv(client, 100), 5) == f"?{endpoint}".encode()
    for server in servers:
        loop.remove_reader(server.fileno())
        server.close()


async def test_an_idle_flow_ends(namespace: Namespace, backend: Userspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "IDLE_SECONDS", 0.1)
    await backend.resync(NodeDuties(), {"default/web": duties(9001, protocol=Protocol.UDP)})
    (listener,) = backend._listeners.values()
    assert isinstance(listener, udp.Listener)
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"?", (str(VIP), 8000))
        await asyncio.sleep(0.03)
        await asyncio.sleep(0.3)
    assert not listener._flows


async def test_node_ports_are_at_the_nodes_addresses(namespace: Namespace, backend: Userspace) -> None:
    with Namespace.create() as other:
        namespace.apply([Veth("v", "other", "eth0")], {"other": other})
        namespace.apply([Assign("v", ip_interface("172.30.0.12/24"))])
        node = NodeDuties(node_port_networks=(ip_network("172.30.0.0/24"),))
        assert not await backend.resync(node, {"default/web": duties(9001, at=None)})
        assert [str(spot.address) for spot in backend._listeners] == ["172.30.0.12"]


async def test_what_cannot_be_had_is_told_with_its_service(backend: Userspace) -> None:
    class Powerless(ThisHost):
        def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
            os.seteuid(65534)  # what a netlink socket may do is what its opener might
            try:
                return super().socket(family, kind, protocol)
            finally:
                os.seteuid(0)

    there = InNamespace(backend._host._fd)  # type: ignore[attr-defined]
    there._host = Powerless()
    powerless = Userspace(there)
    refused = await powerless.resync(NodeDuties(), {"default/web": duties(9001)})
    assert "cannot be given the address 10.96.0.1" in refused["default/web"]
    assert "cannot listen at 10.96.0.1 port 8000/TCP" in refused["default/web"]
    free = duties(9001, at=LOCAL)
    assert not await powerless.resync(NodeDuties(), {"default/web": free})
    powerless.close()


async def test_closing_gives_the_addresses_back(namespace: Namespace, backend: Userspace) -> None:
    await backend.resync(NodeDuties(), {"default/web": duties(9001)})
    assert not await backend.drifted()
    assert VIP in addresses(backend._host, "lo")[True]
    await backend.clear()
    assert VIP not in addresses(backend._host, "lo")[True]


async def test_a_connection_that_nobody_has_looked_at_yet_is_closed_with_its_listener(
    namespace: Namespace,
) -> None:
    namespace.apply([Up("lo")])
    with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        listener = tcp.Listener(
            InNamespace(namespace.fd), listening, lambda _: None, lambda _: None, lambda _: Amounts()
        )
        with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect(listening.getsockname())
            listener._accept()
            listener.close()
            client.settimeout(2)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(ConnectionResetError):
                client.recv(1)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Leave no descriptor that is not open now, nor let there be more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_listener_without_descriptors_waits_at_rest_and_then_goes_on(
    namespace: Namespace, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(tcp, "_PAUSE_SECONDS", 0.2)
    namespace.apply([Up("lo")])
    with (
        namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as listening,
        namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        tried = 0

        class Counted(tcp.Listener):
            def _accept(self) -> None:
                nonlocal tried
                tried += 1
                super()._accept()

        listener = Counted(InNamespace(namespace.fd), listening, lambda _: None, lambda _: None, lambda _: Amounts())
        request.getfixturevalue("few_descriptors")
        client.connect(listening.getsockname())
        await asyncio.sleep(0.1)
        assert tried == 1
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] + 8, limits[1]))
        client.setblocking(False)
        with pytest.raises(ConnectionResetError):  # taken, and turned away: nobody serves
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 5)
        listener.close()


async def test_both_sides_of_a_connection_are_kept_alive(namespace: Namespace, backend: Userspace) -> None:
    async with await echo(namespace, 9001, b"first"):
        await backend.resync(NodeDuties(), {"default/web": duties(9001)})
        reader, writer = await connect(namespace)
        writer.write(b"a")
        assert await reader.read(1) == b"a"
        (listener,) = backend._listeners.values()
        assert isinstance(listener, tcp.Listener)
        (connection,) = listener._connections
        assert all(side.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for side in connection._sockets)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_as_many_descriptors_are_used_as_the_system_allows(backend: Userspace) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    try:
        await backend.resync(NodeDuties(), {})
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def numbered(number: int, endpoint: int = 9001) -> dict[str, Duties]:
    """Write a Service that listens on loopback at a port of its own."""
    owed = duties(endpoint, at=LOCAL)
    place = Place(4, LOCAL, Protocol.TCP, 20000 + number)
    return {
        f"default/{number}": replace(
            owed, key=f"default/{number}", frontends=(replace(owed.frontends[0], place=place),)
        )
    }


async def calls(backend: Userspace, services: dict[str, Duties]) -> int:
    """Count what is called on the event loop's thread while a change is carried out."""
    count = 0

    def called(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        assert not await backend.commit(services)
    finally:
        sys.setprofile(None)
    return count


async def test_a_change_costs_what_its_service_costs_however_many_there_are(backend: Userspace) -> None:
    await backend.resync(NodeDuties(), numbered(0))
    few = await calls(backend, numbered(0, 9002))
    everything = {key: owed for number in range(200) for key, owed in numbered(number).items()}
    await backend.resync(NodeDuties(), everything)
    assert await calls(backend, numbered(0, 9002)) < few + 100


async def test_a_service_that_goes_without_its_place_is_told_with_its_own_changes_only(
    namespace: Namespace, backend: Userspace
) -> None:
    with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind((str(LOCAL), 20001))
        taken.listen()
        assert (await backend.resync(NodeDuties(), {**numbered(0), **numbered(1)})).keys() == {"default/1"}
        assert not await backend.commit(numbered(0, 9002))
        assert (await backend.commit(numbered(1))).keys() == {"default/1"}
    assert not await backend.commit(numbered(1))


async def test_a_place_that_two_services_ask_for_stays_until_both_have_gone(backend: Userspace) -> None:
    (one,) = numbered(0).values()
    await backend.resync(NodeDuties(), {"default/a": one, "default/b": one})
    await backend.commit({"default/b": None})
    assert len(backend._listeners) == 1
    await backend.commit({"default/a": None})
    assert not backend._listeners
