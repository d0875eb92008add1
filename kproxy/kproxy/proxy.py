"""The service proxy of one node: listens to the cluster and keeps the node's rules equal to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from kapi import decode
from kapi.cache import Cache, Change
from kapi.events import Recorder
from kapi.network import EndpointSlice, Node, Problem, Reference, Service
from kapi.resources import ENDPOINT_SLICES, NODES, SERVICES
from kapi.source import Source, wait_synced
from kproxy.backends import Backend
from kproxy.conntrack import Conntrack
from kproxy.settings import Settings, here, node_duties
from kproxy.sync import Done, Sync, World

_NODE_SECONDS = 3.0


class Proxy:
    """Runs one backend on one node. The source is the caller's to run, and may be shared with other components."""

    def __init__(
        self,
        source: Source,
        node_name: str,
        backend: Backend,
        *,
        recorder: Recorder,
        settings: Settings | None = None,
        done: Callable[[Done], None] = lambda _: None,
    ) -> None:
        self.node_name = node_name
        self.backend = backend
        self._settings = settings or Settings()
        self._recorder = recorder
        self._services: Cache[Service] = source.cache(SERVICES, decode.service)
        self._slices: Cache[EndpointSlice] = source.cache(ENDPOINT_SLICES, decode.endpoint_slice)
        self._nodes: Cache[Node] = source.cache(NODES, decode.node)
        self._world = World(self._services)
        self._conntrack = Conntrack(backend.host) if backend.host else None
        self._sync = Sync(
            self._world,
            backend,
            self._settings,
            report=self._report,
            done=done,
            look_at=self._conntrack.look_at if self._conntrack else None,
        )
        self._reported: dict[Reference, frozenset[Problem]] = {}

    async def run(self) -> None:
        """Work for ever. Nothing is put in place before Services and EndpointSlices are completely known."""
        self._services.listen(self._service_changed)
        self._slices.listen(self._slice_changed)
        await wait_synced(self._services, self._slices)
        with contextlib.suppress(TimeoutError):  # a cluster may have no Node objects at all
            await asyncio.wait_for(self._nodes.wait_synced(), _NODE_SECONDS)
        self._nodes.listen(self._node_changed)
        self._renew()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sync.run(), name=f"kproxy sync {self.node_name}")
            if self._conntrack:
                tasks.create_task(self._conntrack.run(), name=f"kproxy conntrack {self.node_name}")

    async def wait_synced(self) -> None:
        """Wait until the first complete state is in place."""
        await self._sync.synced.wait()

    def _service_changed(self, change: Change[Service]) -> None:
        if change.new is None and change.old is not None:
            self._reported.pop(change.old.reference, None)
        self._sync.touch((change.key,))

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        self._sync.touch(self._world.put_slice(change.old, change.new))
        if change.new is None:
            self._reported.pop(change.old.reference, None) if change.old else None
            return
        problems = change.new.problems
        if not change.new.service:
            problems += (Problem("metadata.labels", "no kubernetes.io/service-name: it belongs to no Service"),)
        if problems:
            self._report(change.new.reference, problems)

    def _node_changed(self, change: Change[Node]) -> None:
        if change.key == self.node_name:
            self._renew()

    def _renew(self) -> None:
        node = self._nodes.get(self.node_name)
        self._sync.renew(node_duties(self._settings, node), here(self.node_name, node))

    def _report(self, about: Reference, problems: Iterable[Problem]) -> None:
        """Record what was left out, once for as long as it stays the same."""
        found = frozenset(problems)
        known = self._reported.get(about, frozenset())
        self._reported[about] = found
        for problem in sorted(found - known, key=str):
            self._recorder.event(about, "Warning", "PartlyProxied", f"{self.node_name}: {problem}")
