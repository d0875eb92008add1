"""The lab: how long until it can be used, until a hundred pods are ready, and until it is gone."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.proxy import one_endpoint_change
from benches.row import Row, row

TOOL = [str(Path(sys.executable).parent / "netns-lab")]
RUNS = 5
PODS = 100


def rows() -> Iterator[Row]:
    """Measure; each figure is the median of several runs."""
    ups, downs = zip(*(up_and_down(f"bench-{os.getpid()}-{run}") for run in range(RUNS)), strict=True)
    yield row("up with 3 nodes, until DNS answers in a pod", statistics.median(ups), "s", most=3)
    yield row("down", statistics.median(downs), "s", most=0.5)
    yield row(f"{PODS} pods of a Deployment ready", statistics.median(hundred_pods() for _ in range(3)), "s", most=5)
    yield row("netns-lab status, with a lab up", statistics.median(statuses()), "s", most=0.3)
    yield row("one endpoint changed, from watch event to kernel commit", one_endpoint_change(), "ms", most=5)


def up_and_down(name: str) -> tuple[float, float]:
    """Bring a lab up and down; the seconds of each."""
    return timed([*TOOL, "up", "--name", name]), timed([*TOOL, "down", "--name", name])


def hundred_pods() -> float:
    """Seconds from applying a Deployment to its last pod being ready."""
    with lab() as environment:
        apply = ["kubectl", "apply", "-f", "-"]
        started = time.monotonic()
        subprocess.run(apply, input=json.dumps(deployment()).encode(), env=environment, check=True, capture_output=True)
        ready = f"--for=jsonpath={{.status.readyReplicas}}={PODS}"
        wait = ["kubectl", "wait", ready, "deployment/many", "--timeout=60s"]
        subprocess.run(wait, env=environment, check=True, capture_output=True)
        return time.monotonic() - started


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
