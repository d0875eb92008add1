from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from netnslab import topology
from netnslab.child import Program
from netnslab.kernel import Namespace
from netnslab.kubelet.sandbox import PodNetwork, Sandbox
from netnslab.network import network
from netnslab.processes import Processes

PODS = 60


@pytest.fixture
def pods() -> Iterator[PodNetwork]:
    """The pod side of a node that is alone in its cluster."""
    wanted = topology.default(1)
    with network(wanted) as namespaces:
        yield PodNetwork(wanted.nodes[0], namespaces[wanted.nodes[0].name])


def links(namespace: Namespace) -> set[str]:
    with namespace.entered():
        return {line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]}


def inside(pid: int, sandbox: Sandbox) -> bool:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino == os.fstat(sandbox.namespace.fd).st_ino


async def test_many_pods_that_end_together_are_cleared_together(pods: PodNetwork, tmp_path: Path) -> None:
    """The kernel takes a while for each link, and as long for many at once: how long is measured with one alone."""
    async with pods.connected(tmp_path / "alone"):
        began = time.monotonic()
    alone = time.monotonic() - began
    running, end = asyncio.Semaphore(0), asyncio.Event()

    async def pod(number: int) -> None:
        async with pods.connected(tmp_path / str(number)):
            running.release()
            await end.wait()

    async with asyncio.TaskGroup() as tasks:
        for number in range(PODS):
            tasks.create_task(pod(number))
        for _ in range(PODS):
            await running.acquire()
        assert len(links(pods.namespace)) > PODS
        began = time.monotonic()
        end.set()
    assert time.monotonic() - began < PODS * alone / 2
    assert not any(name.startswith("pod") for name in links(pods.namespace))


async def test_a_link_goes_with_its_pod_though_a_process_was_left_in_it(
    pods: PodNetwork, processes: Processes, tmp_path: Path, until: Callable[..., Awaitable[None]]
) -> None:
    seen = set()
    for number in range(3):
        async with pods.connected(tmp_path / str(number)) as sandbox:
            left = await processes.start(Program(["sleep", "60"]), [sandbox.namespace.fd])
            await until(lambda: inside(left.pid, sandbox))  # noqa: B023  # it is called before the next round
            seen.add(sandbox.addresses[0])
        assert await left.wait() < 0
        assert not any(name.startswith("pod") for name in links(pods.namespace))
    assert len(seen) == 3  # an address rests before it is used again
