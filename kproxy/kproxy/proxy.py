"""The service proxy of one node: listens to the cluster and keeps the node's rules equal to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from kapi import decode
from kapi.cache import Cache, Change
from kapi.events import Recorder
from kapi.feed import Feed
from kapi.network import EndpointSlice, Node, Problem, Reference, Service
from kapi.resources import ENDPOINT_SLICES, NODES, SERVICES
from kapi.source import Source, wait_synced
from kproxy.backends import Backend
from kproxy.beside import NodeServices
from kproxy.conntrack import Conntrack
from kproxy.metrics import Metrics
from kproxy.settings import Settings, here, node_duties
from kproxy.sync import Done, Sync, World

Json = dict[str, Any]

_NODE_SECONDS = 3.0


class Proxy:
    """Runs one backend on one node.

    With a source, which is the caller's to run and may be shared with other components, `run` it. Without one, the
    proxy is told: `async with Proxy(None, ...) as proxy: await proxy.apply(services=..., endpoint_slices=...)`.
    """

    def __init__(
        self,
        source: Source | None,
        node_name: str,
        backend: Backend,
        *,
        recorder: Recorder | None = None,
        settings: Settings | None = None,
        done: Callable[[Done], None] = lambda _: None,
    ) -> None:
        self.node_name = node_name
        self.backend = backend
        self.metrics = Metrics(backend.name)
        self._settings = settings or Settings()
        self._recorder = recorder or Recorder("kproxy")
        self._told = Feed() if source is None else None
        source = source or self._told
        assert source is not None
        self._services: Cache[Service] = source.cache(SERVICES, decode.service)
        self._slices: Cache[EndpointSlice] = source.cache(ENDPOINT_SLICES, decode.endpoint_slice)
        self._nodes: Cache[Node] = source.cache(NODES, decode.node)
        self._world = World(self._services)
        self._conntrack = Conntrack(backend.host) if backend.host and backend.tracked else None
        self._sync = Sync(
            self._world,
            backend,
            self._settings,
            report=self._report,
            done=self._done,
            failed=self.metrics.failed,
            look_at=self._conntrack.look_at if self._conntrack else None,
        )
        self._listener = done
        self._beside = self._node_services()
        self._reported: dict[Reference, frozenset[Problem]] = {}
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Work for ever. Nothing is put in place before Services and EndpointSlices are completely known.

        Raises PagesNotServed at the start, where its own pages cannot be served.
        """
        self._services.listen(self._service_changed)
        self._slices.listen(self._slice_changed)
        pages = self._beside.pages() if self._beside else contextlib.nullcontext()
        async with pages, asyncio.TaskGroup() as tasks:
            if self._beside:
                tasks.create_task(self._beside.run(), name=f"kproxy services of {self.node_name}")
            if self._conntrack:
                tasks.create_task(self._conntrack.run(), name=f"kproxy conntrack {self.node_name}")
            await wait_synced(self._services, self._slices)
            with contextlib.suppress(TimeoutError):  # a cluster may have no Node objects at all
                await asyncio.wait_for(self._nodes.wait_synced(), _NODE_SECONDS)
            self._nodes.listen(self._node_changed)
            self._renew()
            tasks.create_task(self._sync.run(), name=f"kproxy sync {self.node_name}")

    async def wait_synced(self) -> None:
        """Wait until the first complete state is in place."""
        await self._sync.synced.wait()

    async def __aenter__(self) -> Proxy:
        self._task = asyncio.create_task(self.run(), name=f"kproxy {self.node_name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop working. The rules stay, and count on; `kproxy.modes.clear_others(host, "")` removes them all."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def apply(
        self, *, services: Iterable[Json], endpoint_slices: Iterable[Json], nodes: Iterable[Json] | None = None
    ) -> Mapping[str, str]:
        """Bring a whole cluster in place: what is not in it vanishes, and what is the same costs nothing.

        Objects are the API's JSON; apiVersion and kind may be missing. Nodes stay as they are where they are None.
        Returns, once the rules are in place, the Services that the kernel refused, each with the cause. Raises
        DecodeError where an object has no name, and whatever ends the proxy.
        """
        if self._told is None or self._task is None:
            raise RuntimeError("apply is for a Proxy without a source, inside `async with`")
        given = {SERVICES: services, ENDPOINT_SLICES: endpoint_slices} | ({NODES: nodes} if nodes is not None else {})
        objects = [
            {**obj, "apiVersion": resource.api_version, "kind": resource.kind}
            for resource, listed in given.items()
            for obj in listed
        ]
        self._told.replace(objects, of=given)
        settled = asyncio.ensure_future(self._sync.settled())
        try:
            await asyncio.wait((settled, self._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()
        if self._task.done():
            self._task.result()
        return dict(self._sync.refused)

    def _node_services(self) -> NodeServices | None:
        if self.backend.host is None:
            return None
        return NodeServices(
            self.backend.host,
            self.backend,
            self._settings,
            self._sync,
            self.metrics,
            conntrack=self._conntrack,
            node=lambda: self._nodes.get(self.node_name),
            tell=self._tell,
        )

    def _service_changed(self, change: Change[Service]) -> None:
        if change.new is None and change.old is not None:
            self._reported.pop(change.old.reference, None)
        self.metrics.queued(time.time())
        self._sync.touch((change.key,), services=1)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        self.metrics.queued(time.time())
        trigger = _trigger(change) if self._sync.synced.is_set() else ""
        self._sync.touch(self._world.put_slice(change.old, change.new), slices=1, trigger=trigger)
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
        self._sync.renew(node_duties(self._settings, node), here(self._settings, self.node_name, node))

    def _done(self, done: Done) -> None:
        self.metrics.synced(done, time.time())
        if self._beside:
            self._beside.take(done)
        self._listener(done)

    def _report(self, about: Reference, problems: Iterable[Problem]) -> None:
        """Record what was left out, once for as long as it stays the same."""
        found = frozenset(problems)
        known = self._reported.get(about, frozenset())
        self._reported[about] = found
        for problem in sorted(found - known, key=str):
            self._recorder.event(about, "Warning", "PartlyProxied", f"{self.node_name}: {problem}")

    def _tell(self, key: str, problem: str) -> None:
        """Record that something a Service needs on this node cannot be had."""
        service = self._services.get(key)
        if service is not None:
            self._recorder.event(service.reference, "Warning", "PartlyProxied", f"{self.node_name}: {problem}")


def _trigger(change: Change[EndpointSlice]) -> str:
    """Give when the change behind a new slice happened, where the slice says something new about that."""
    before = change.old.trigger_time if change.old else ""
    return change.new.trigger_time if change.new and change.new.trigger_time != before else ""
