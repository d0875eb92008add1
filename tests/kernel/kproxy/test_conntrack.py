"""Stale UDP flows are forgotten, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import time
from ipaddress import ip_address, ip_network

from kapi.network import Protocol
from kproxy.backends.nftables.backend import Nftables
from kproxy.conntrack import Conntrack, forget
from kproxy.flows import Watched
from kproxy.host import InNamespace
from kproxy.model import NodeDuties, Place
from netnslab.kernel import Namespace
from netnslab.steps import Up

PLACE = Place(4, ip_address("127.0.0.1"), Protocol.UDP, 5353)
NOBODY = frozenset({ip_address("10.0.0.9")})


async def traffic(backend: Nftables, namespace: Namespace) -> None:
    """Make a flow to the place; the rules make the kernel track it."""
    await backend.resync(NodeDuties(), {})
    namespace.apply([Up("lo")])
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for port in (5353, 5354):
            client.sendto(b"?", ("127.0.0.1", port))
    with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect_ex(("127.0.0.1", 5353))


async def test_a_flow_to_nobody_who_serves_is_forgotten(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    host = InNamespace(namespace.fd)
    assert forget(host, Watched({PLACE: frozenset({ip_address("127.0.0.1")})})) == 0
    other = Place(4, ip_address("127.0.0.1"), Protocol.UDP, 5399)
    assert forget(host, Watched({other: NOBODY})) == 0
    assert forget(host, Watched({PLACE: NOBODY})) == 1
    assert forget(host, Watched({PLACE: NOBODY})) == 0


async def test_a_node_port_is_matched_on_the_nodes_addresses(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    host, place = InNamespace(namespace.fd), Place(4, None, Protocol.UDP, 5353)
    assert forget(host, Watched({place: frozenset()}, (ip_network("172.30.0.11/32"),))) == 0
    assert forget(host, Watched({place: frozenset()}, (ip_network("127.0.0.1/32"),))) == 1


async def test_looking_does_not_wait(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    conntrack = Conntrack(InNamespace(namespace.fd))
    running = asyncio.create_task(conntrack.run())
    started = time.perf_counter()
    conntrack.look_at({PLACE: frozenset()}, ())
    assert time.perf_counter() - started < 0.01
    async with asyncio.timeout(5):
        while not conntrack.forgotten:  # noqa: ASYNC110  # the count is what is waited for
            await asyncio.sleep(0.01)
    running.cancel()
