"""A whole proxy and senders of datagrams that never stop: every change after which a flow must find a new endpoint.

Client, endpoints and proxy share one namespace, so a datagram has arrived, or never will, when `send` returns.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

import pytest

from kproxy import modes
from kproxy.backends import load
from kproxy.host import InNamespace
from kproxy.proxy import Proxy
from kproxy.testing import endpoint_slice
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Up

Json = dict[str, Any]
PLACES = {
    4: {"node": "10.0.0.1", "A": "10.244.1.2", "B": "10.244.1.3", "cluster": "10.96.0.10", "external": "203.0.113.1"},
    6: {"node": "fd30::1", "A": "fd44::2", "B": "fd44::3", "cluster": "fd96::10", "external": "2001:db8::1"},
}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT, TARGET, NODE_PORT, VXLAN = 53, 5353, 30053, 4789
ARRIVAL = 5.0  # seconds that a datagram may take on a busy machine
SOON = 0.1  # seconds after which the next one is sent, where it is asked again and again
LEAVING = {"ready": False, "serving": True, "terminating": True}
PASS = 0.3  # seconds in which a change has been followed up


@dataclass(frozen=True)
class Told:
    """A proxy at work, and how it is told of the Service's endpoints."""

    proxy: Proxy
    scene: Scene
    nodes: list[Json]

    async def __call__(self, *names: str, leaving: Iterable[str] = ()) -> None:
        slices = self.scene.slices(*names, leaving=leaving)
        await self.all([self.scene.service()], slices)

    @property
    def forgotten(self) -> int:
        """How many flows the kernel was told to forget."""
        assert self.proxy._conntrack is not None
        return self.proxy._conntrack.forgotten

    async def all(self, services: list[Json], slices: list[Json]) -> None:
        assert not await self.proxy.apply(services=services, endpoint_slices=slices, nodes=self.nodes)


@dataclass
class Scene:
    """One family's addresses in a namespace, with a server on each endpoint and what was sent before."""

    namespace: Namespace
    family: int
    mode: str
    stack: ExitStack
    servers: dict[str, socket.socket] = field(default_factory=dict)

    def open(self, kind: int, address: str, port: int) -> socket.socket:
        opened = self.stack.enter_context(self.namespace.socket(FAMILIES[self.family], kind))
        opened.bind((address, port))
        return opened

    def serve(self, name: str, place: str, port: int) -> None:
        self.servers[name] = self.open(socket.SOCK_DGRAM, PLACES[self.family][place], port)

    def client(self, place: str = "cluster", port: int = PORT, source_port: int = 0) -> socket.socket:
        opened = self.open(socket.SOCK_DGRAM, PLACES[self.family]["node"], source_port)
        opened.connect((PLACES[self.family][place], port))
        return opened

    def reached(self, client: socket.socket, within: float = ARRIVAL) -> str:
        """Send one more datagram of a flow; gives who got it, "" where nobody did."""
        with suppress(ConnectionRefusedError, PermissionError):  # of an earlier datagram, or of this one
            client.send(b"?")
        select.select(self.servers.values(), (), (), within)
        got = ""
        for name, server in self.servers.items():
            with suppress(BlockingIOError):
                while server.recv(100, socket.MSG_DONTWAIT):
                    got = name
        return got

    async def until(self, client: socket.socket, name: str) -> None:
        """Keep sending until somebody else gets it."""
        async with asyncio.timeout(5):
            while self.reached(client, SOON) != name:  # noqa: ASYNC110  # what is waited for is asked by sending
                await asyncio.sleep(0.02)

    def service(self, protocol: str = "UDP") -> Json:
        places = PLACES[self.family]
        ports = [{"name": "dns", "port": PORT, "nodePort": NODE_PORT, "protocol": protocol}]
        spec = {"type": "NodePort", "clusterIP": places["cluster"], "externalIPs": [places["external"]], "ports": ports}
        return {"metadata": {"namespace": "default", "name": "dns"}, "spec": spec}

    def slices(self, *names: str, leaving: Iterable[str] = (), protocol: str = "UDP") -> list[Json]:
        listed = [
            {"addresses": [PLACES[self.family][name]], "conditions": LEAVING if name in leaving else {}}
            for name in names
        ]
        ports = [{"name": "dns", "port": TARGET, "protocol": protocol}]
        return [endpoint_slice("default/dns", self.family, listed, ports)]

    @asynccontextmanager
    async def proxied(self) -> AsyncIterator[Told]:
        """Start a proxy; it stops at the end, and its rules stay."""
        node = {"type": "InternalIP", "address": PLACES[self.family]["node"]}
        nodes = [{"metadata": {"name": "here"}, "status": {"addresses": [node]}}]
        with closing(load(self.mode)(InNamespace(self.namespace.fd))) as backend:
            async with Proxy(None, "here", backend) as proxy:
                yield Told(proxy, self, nodes)


@pytest.fixture(params=[("nftables", 4), ("nftables", 6), ("iptables-legacy", 4), ("iptables-nft", 6)], ids=str)
def scene(request: pytest.FixtureRequest, namespace: Namespace) -> Iterator[Scene]:
    mode, family = request.param
    if why := modes.missing(mode, InNamespace(namespace.fd)):
        pytest.skip(why)
    width = {4: 32, 6: 128}[family]
    namespace.apply([Up("lo"), *(Assign("lo", ip_interface(f"{a}/{width}")) for a in PLACES[family].values())])
    with ExitStack() as stack:
        made = Scene(namespace, family, mode, stack)
        made.serve("A", "A", TARGET)
        made.serve("B", "B", TARGET)
        yield made


@pytest.mark.parametrize(("place", "port"), [("cluster", PORT), ("external", PORT), ("node", NODE_PORT)])
async def test_a_flow_to_an_endpoint_that_is_gone_finds_another(scene: Scene, place: str, port: int) -> None:
    async with scene.proxied() as tell:
        await tell("A")
        client = scene.client(place, port)
        assert scene.reached(client) == "A"
        await tell("B")
        await scene.until(client, "B")


@pytest.mark.parametrize(("place", "port"), [("cluster", PORT), ("external", PORT), ("node", NODE_PORT)])
async def test_a_flow_ends_with_the_last_endpoint_and_goes_on_with_the_next(
    scene: Scene, place: str, port: int
) -> None:
    async with scene.proxied() as tell:
        await tell("A")
        client = scene.client(place, port)
        assert scene.reached(client) == "A"
        await tell()
        await scene.until(client, "")
        await tell("B")
        await scene.until(client, "B")


@pytest.mark.parametrize(("place", "port"), [("cluster", PORT), ("external", PORT), ("node", NODE_PORT)])
async def test_a_flow_that_began_before_the_rules_finds_the_endpoint(scene: Scene, place: str, port: int) -> None:
    scene.serve("nobody's", place, port)
    async with scene.proxied() as tell:
        await tell.all([], [])
        client = scene.client(place, port)
        assert scene.reached(client) == "nobody's"
        await tell("A")
        await scene.until(client, "A")


async def test_flows_to_another_port_of_the_same_address_are_left_alone(scene: Scene) -> None:
    scene.serve("tunnel", "external", VXLAN)
    async with scene.proxied() as tell:
        await tell("A")
        tunnel, client = scene.client("external", VXLAN), scene.client("external")
        assert (scene.reached(tunnel), scene.reached(client)) == ("tunnel", "A")
        await tell("B")
        await scene.until(client, "B")
        await asyncio.sleep(PASS)
        assert tell.forgotten == 1
        assert scene.reached(tunnel) == "tunnel"


async def test_a_flow_to_an_endpoint_that_terminates_but_serves_stays(scene: Scene) -> None:
    async with scene.proxied() as tell:
        await tell("A")
        client = scene.client()
        assert scene.reached(client) == "A"
        await tell("A", "B", leaving=["A"])
        await asyncio.sleep(PASS)
        assert scene.reached(client) == "A"
        assert scene.reached(scene.client()) == "B"
        await tell("B")
        await scene.until(client, "B")


async def test_a_restart_forgets_no_flow_that_is_served_and_each_that_is_not(scene: Scene) -> None:
    async with scene.proxied() as tell:
        await tell("A", "B")
        clients = [scene.client() for _ in range(12)]
        went = [scene.reached(client) for client in clients]
        assert set(went) == {"A", "B"}
    async with scene.proxied() as tell:
        await tell("A", "B")
        await asyncio.sleep(PASS)
        assert tell.forgotten == 0
        assert [scene.reached(client) for client in clients] == went
    async with scene.proxied() as tell:
        await tell("B")
        for client in clients:
            await scene.until(client, "B")


async def test_connections_are_never_cut(scene: Scene) -> None:
    places = PLACES[scene.family]
    listener = scene.open(socket.SOCK_STREAM, places["A"], TARGET)
    listener.listen()
    async with scene.proxied() as tell:
        both = [scene.service(), scene.service("TCP")]
        both[1]["metadata"]["name"] = "tcp"
        slices = scene.slices("A", protocol="TCP")
        slices[0]["metadata"] |= {"name": "tcp", "labels": {"kubernetes.io/service-name": "tcp"}}
        await tell.all(both, [*slices, *scene.slices("A")])
        flow = scene.client()
        assert scene.reached(flow) == "A"
        with scene.namespace.socket(FAMILIES[scene.family], socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect((places["cluster"], PORT))
            answering = listener.accept()[0]
            with answering:
                await tell("B")  # and no Service of TCP any more
                await scene.until(flow, "B")
                client.sendall(b"still there?")
                assert answering.recv(100) == b"still there?"
                answering.sendall(b"yes")
                assert client.recv(100) == b"yes"
