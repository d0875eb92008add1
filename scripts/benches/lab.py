"""The lab: how long until it can be used, until a hundred pods are ready, and until it is gone."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benches.row import Row, row
from kapi.events import Recorder
from kapi.resources import ENDPOINT_SLICES, SERVICES
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kproxy.backends import load
from kproxy.host import InNamespace
from kproxy.proxy import Proxy
from kproxy.sync import Done
from netnslab.kernel import Namespace

TOOL = [str(Path(sys.executable).parent / "netns-lab")]
RUNS = 5
PODS = 100
CHANGES = 300


def rows() -> Iterator[Row]:
    """Measure; each figure is the median of several runs."""
    ups, downs = zip(*(up_and_down(f"bench-{os.getpid()}-{run}") for run in range(RUNS)), strict=True)
    yield row("up with 3 nodes, until DNS answers in a pod", statistics.median(ups), "s", most=3)
    yield row("down", statistics.median(downs), "s", most=0.5)
    ready, gone, memory = zip(*(hundred_pods() for _ in range(3)), strict=True)
    yield row(f"{PODS} pods of a Deployment ready", statistics.median(ready), "s", most=5)
    yield row(f"{PODS} pods of a Deployment gone", statistics.median(gone), "s", most=3)
    yield row(f"memory of the lab's process with {PODS} pods", statistics.median(memory), "MB", most=150)
    yield row("netns-lab status, with a lab up", statistics.median(statuses()), "s", most=0.3)
    changes = asyncio.run(endpoint_changes())
    yield row("one endpoint changed, from API write to kernel commit, median", changes[len(changes) // 2], "ms", most=5)
    yield row("one endpoint changed, from API write to kernel commit, p99", changes[len(changes) * 99 // 100], "ms")


def up_and_down(name: str) -> tuple[float, float]:
    """Bring a lab up and down; the seconds of each."""
    return timed([*TOOL, "up", "--name", name]), timed([*TOOL, "down", "--name", name])


def hundred_pods() -> tuple[float, float, float]:
    """Seconds from applying a Deployment to its last pod being ready, and from deleting it to its last pod being gone.

    The third figure is what the lab's process then has in memory, in megabytes.
    """
    with lab() as environment:
        apply = ["kubectl", "apply", "-f", "-"]
        started = time.monotonic()
        subprocess.run(apply, input=json.dumps(deployment()).encode(), env=environment, check=True, capture_output=True)
        ready = f"--for=jsonpath={{.status.readyReplicas}}={PODS}"
        kubectl_says(environment, "wait", ready, "deployment/many", "--timeout=60s")
        up = time.monotonic() - started
        memory = resident_megabytes(environment["NETNS_LAB"])
        deleted = time.monotonic()
        kubectl_says(environment, "delete", "deployment", "many", "--wait=false")
        while kubectl_says(environment, "get", "pods", "-lapp=many", "-o=name"):
            time.sleep(0.1)
        return up, time.monotonic() - deleted, memory


def kubectl_says(environment: dict[str, str], *words: str) -> bytes:
    """What kubectl prints."""
    return subprocess.run(["kubectl", *words], env=environment, check=True, capture_output=True).stdout


def resident_megabytes(name: str) -> float:
    """What the process of a lab has in memory."""
    status = subprocess.run([*TOOL, "status", "--name", name, "--json"], check=True, capture_output=True)
    lines = Path(f"/proc/{json.loads(status.stdout)['pid']}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def statuses() -> list[float]:
    """Seconds of several `netns-lab status`."""
    with lab() as environment:
        return [timed([*TOOL, "status", "--name", environment["NETNS_LAB"]]) for _ in range(RUNS)]


@contextmanager
def lab() -> Iterator[dict[str, str]]:
    """A lab of its own, and the environment in which kubectl drives it."""
    name = f"bench-{os.getpid()}-{time.monotonic_ns() % 1000000}"
    subprocess.run([*TOOL, "up", "--name", name], check=True, capture_output=True)
    try:
        command = [*TOOL, "kubeconfig", "--name", name]
        path = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        yield {**os.environ, "KUBECONFIG": path, "NETNS_LAB": name}
    finally:
        subprocess.run([*TOOL, "down", "--name", name], check=True, capture_output=True)


async def endpoint_changes() -> list[float]:
    """Milliseconds from writes of an EndpointSlice to the rules in the kernel, sorted; in a namespace of its own."""
    done: asyncio.Queue[Done] = asyncio.Queue()
    with Namespace.create() as namespace:
        async with ApiServer(MemoryStore()) as server:
            client = server.client()
            source = ApiSource(client)
            backend = load("nftables")(InNamespace(namespace.fd))
            proxy = Proxy(source, "here", backend, recorder=Recorder("bench"), done=done.put_nowait)
            await client.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}, "default")
            made = await client.create(ENDPOINT_SLICES, endpoint_slice(0), "default")
            tasks = [asyncio.create_task(source.run()), asyncio.create_task(proxy.run())]
            await proxy.wait_synced()
            times = []
            for number in range(1, CHANGES):
                while not done.empty():
                    done.get_nowait()
                started = time.perf_counter()
                version = made["metadata"]["resourceVersion"]
                made = await client.update(ENDPOINT_SLICES, endpoint_slice(number, resourceVersion=version))
                await done.get()
                times.append((time.perf_counter() - started) * 1000)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return sorted(times)


def endpoint_slice(number: int, **metadata: str) -> dict[str, Any]:
    """A slice of ten endpoints, one of them new with each number."""
    labels = {"kubernetes.io/service-name": "web"}
    addresses = [f"10.1.0.{i}" for i in range(1, 10)] + [f"10.1.1.{number % 250 + 1}"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "default", "labels": labels, **metadata},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def deployment() -> dict[str, object]:
    """A Deployment of many small pods."""
    labels = {"app": "many"}
    container = {"name": "many", "image": "many:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": spec}


def timed(command: list[str]) -> float:
    """Seconds a command takes."""
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started
