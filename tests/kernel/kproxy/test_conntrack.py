"""Stale UDP flows are forgotten, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from kapi.network import Protocol
from kproxy import flows
from kproxy.backends.nftables.backend import Nftables
from kproxy.conntrack import Conntrack, forget
from kproxy.flows import Flow, Watched
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
    assert forget(host, Watched({PLACE: frozenset({ip_address("127.0.0.1")})})) == (0, [])
    other = Place(4, ip_address("127.0.0.1"), Protocol.UDP, 5399)
    assert forget(host, Watched({other: NOBODY})) == (0, [])
    assert forget(host, Watched({PLACE: NOBODY})) == (1, [])
    assert forget(host, Watched({PLACE: NOBODY})) == (0, [])


async def test_a_node_port_is_matched_on_the_nodes_addresses(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    host, place = InNamespace(namespace.fd), Place(4, None, Protocol.UDP, 5353)
    assert forget(host, Watched({place: frozenset()}, (ip_network("172.30.0.11/32"),))) == (0, [])
    assert forget(host, Watched({place: frozenset()}, (ip_network("127.0.0.1/32"),))) == (1, [])


async def test_looking_does_not_wait(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    conntrack = Conntrack(InNamespace(namespace.fd))
    async with running(conntrack):
        started = time.perf_counter()
        conntrack.look_at({PLACE: frozenset()}, ())
        assert time.perf_counter() - started < 0.01
        await forgotten(conntrack)


class Failing(InNamespace):
    """A host on which the next `failures` sockets cannot be opened; `failing` hears of each."""

    def __init__(self, fd: int, failures: int, failing: Callable[[], None] = lambda: None) -> None:
        super().__init__(fd)
        self.failures, self.failing = failures, failing

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        if self.failures:
            self.failures -= 1
            self.failing()
            raise TimeoutError("timed out")
        return super().socket(family, kind, protocol)


async def test_a_look_that_fails_is_taken_again(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    conntrack = Conntrack(Failing(namespace.fd, 3), retry_seconds=0.01)
    async with running(conntrack):
        conntrack.look_at({PLACE: frozenset()}, ())
        await forgotten(conntrack)


async def test_what_is_newer_counts_when_a_look_is_taken_again(backend: Nftables, namespace: Namespace) -> None:
    await traffic(backend, namespace)
    loop = asyncio.get_running_loop()
    other = Place(4, ip_address("127.0.0.1"), Protocol.UDP, 5354)

    def newer() -> None:
        serving = frozenset({ip_address("127.0.0.1")})
        loop.call_soon_threadsafe(conntrack.look_at, {PLACE: serving, other: frozenset()}, ())

    conntrack = Conntrack(Failing(namespace.fd, 1, newer), retry_seconds=0.01)
    async with running(conntrack):
        conntrack.look_at({PLACE: frozenset()}, ())
        await forgotten(conntrack)
    assert conntrack.forgotten == 1
    assert forget(InNamespace(namespace.fd), Watched({PLACE: frozenset()})) == (1, [])


async def test_a_flow_that_cannot_be_forgotten_keeps_no_other(
    backend: Nftables, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await traffic(backend, namespace)
    places = {Place(4, ip_address("127.0.0.1"), Protocol.UDP, port): NOBODY for port in (5353, 5354)}
    told: list[Flow] = []

    def spoilt(sequence: int, flow: Flow) -> bytes:
        """Name the first flow by an attribute that the kernel refuses."""
        told.append(flow)
        return real(sequence, replace(flow, name=b"\x05\x00\x01\x80\x00\x00\x00\x00") if len(told) == 1 else flow)

    real = flows.delete_message
    monkeypatch.setattr(flows, "delete_message", spoilt)
    count, refused = forget(InNamespace(namespace.fd), Watched(places))
    assert (count, len(refused)) == (1, 1)
    assert forget(InNamespace(namespace.fd), Watched(places)) == (1, [])


@asynccontextmanager
async def running(conntrack: Conntrack) -> AsyncIterator[None]:
    task = asyncio.create_task(conntrack.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def forgotten(conntrack: Conntrack) -> None:
    async with asyncio.timeout(5):
        while not conntrack.forgotten:  # noqa: ASYNC110  # the count is what is waited for
            await asyncio.sleep(0.01)
