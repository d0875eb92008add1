"""A Kubernetes namespace of a test's own, and what pods are made of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from kapi.resources import EVENTS, PODS
from netnslab.lab import Lab

Json = dict[str, Any]

_numbers = itertools.count(1)


class Space:
    """The namespace, and the pods in it."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name

    async def create(self, spec: Json, name: str = "", **meta: Any) -> str:
        """Create a pod and give its name."""
        name = name or f"pod-{next(_numbers)}"
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": spec}
        await self.lab.client.create(PODS, pod, self.name)
        return name

    async def until(self, name: str, holds: Callable[[Json], Any], what: str, seconds: float = 10) -> Json:
        """Wait until something is true of a pod's status, and give the status."""
        status: Json = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    status = (await self.lab.client.get(PODS, name, self.name)).get("status") or {}
                    if holds(status):
                        return status
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{what} did not come true; the status is {status}") from None

    async def ready(self, name: str, seconds: float = 10) -> Json:
        return await self.until(name, is_ready, "ready", seconds)

    async def until_other(self, name: str, uid: str) -> None:
        """Wait until another pod than this one has its name."""
        async with asyncio.timeout(10):
            while await self._uid(name) in ("", uid):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)

    async def _uid(self, name: str) -> str:
        pods = (await self.lab.client.list(PODS, self.name)).items
        return next((pod["metadata"]["uid"] for pod in pods if pod["metadata"]["name"] == name), "")

    async def events(self, name: str) -> set[str]:
        found = await self.lab.client.list(EVENTS, self.name)
        return {f"{e['reason']}: {e['message']}" for e in found.items if e["involvedObject"]["name"] == name}

    async def event(self, name: str, word: str) -> str:
        """Wait for an event of a pod that contains a word."""
        async with asyncio.timeout(15):
            while True:
                if found := [event for event in await self.events(name) if word in event]:
                    return found[0]
                await asyncio.sleep(0.05)

    async def says(self, name: str, words: str, container: str = "main") -> None:
        """Wait until a pod has printed these words: a container is ready before its command has done anything."""
        log = ("logs", f"{self.name}/{name}", "-c", container)
        async with asyncio.timeout(10):
            while words not in (await self.lab.command(*log)).stdout:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.02)

    async def exec(self, name: str, *argv: str) -> str:
        return (await self.lab.exec(f"{self.name}/{name}", *argv)).check()


def is_ready(status: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))


def command(*argv: str, **rest: Any) -> Json:
    return {"name": "main", "image": "busybox", "command": list(argv), **rest}


def image(name: str = "nginx", **rest: Any) -> Json:
    return {"name": "main", "image": name, **rest}
