"""Writes EndpointSlices and Endpoints as Services, Pods and Nodes come and go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import get_args

from kapi.client import Client, Json
from kapi.errors import ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound, StatusError
from kapi.events import Recorder
from kapi.network import EndpointSlice, Reference
from kapi.queue import Queue
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from kapi.source import Source
from kendpoints.codec import endpoints_json, slice_json
from kendpoints.endpoints import desired
from kendpoints.labels import MIRROR_CONTROLLER, SLICE_CONTROLLER
from kendpoints.metrics import Counted, Metrics
from kendpoints.mirror import MOST_ENDPOINTS as MOST_MIRRORED
from kendpoints.mirror import mirror, skipped
from kendpoints.notices import Notice, Reason
from kendpoints.pack import Changes
from kendpoints.slices import MOST_ENDPOINTS, has_slices, slices
from kendpoints.trigger import Seen, attribute
from kendpoints.world import Job, Part, World

log = logging.getLogger(__name__)

_TOLD_AT_ONCE = 10  # Events about one object: who has a thousand bad pods need not read of each


@dataclass(frozen=True, slots=True)
class Settings:
    """How the controller works; times are seconds."""

    max_endpoints_per_slice: int = MOST_ENDPOINTS
    batch_period: float = 0.0  # how long changes of pods are gathered before a Service is written
    repair_delay: float = 1.0  # how long others may meddle with our slices before they are put right
    workers: int = 5  # Services written at the same time


class Controller:
    """Keeps the slices and Endpoints of every Service equal to what its pods ask for.

    It sees its own writes at once (`kapi.written`), so that a cache which lags behind never makes it create a slice
    twice; whoever else writes meets a Conflict and is tried again. What is left out becomes an Event on the Service.
    """

    def __init__(self, client: Client, source: Source, recorder: Recorder, settings: Settings | None = None) -> None:
        self._client = client
        self._recorder = recorder
        self._settings = settings or Settings()
        self._world = World(source, batch_period=self._settings.batch_period, repair_delay=self._settings.repair_delay)
        self._queue: Queue[Job] = Queue()
        self._listening = asyncio.Event()
        self.metrics = Metrics(self._settings.max_endpoints_per_slice, MOST_MIRRORED)
        self._seen: dict[Job, Seen] = {}
        self._reported: dict[Job, frozenset[Notice]] = {}

    @property
    def idle(self) -> bool:
        """Whether everything heard of has been dealt with."""
        return self._queue.idle

    @property
    def synced(self) -> bool:
        """Whether the cluster is known and the work has begun."""
        return self._listening.is_set()

    @property
    def waiting(self) -> dict[Part, int]:
        """How many Services wait for work, by the part of it."""
        waiting = Counter(job.part for job in self._queue.waiting)
        return {part: waiting[part] for part in get_args(Part)}

    async def rest(self) -> None:
        """Wait until everything that there was has been dealt with."""
        await self._listening.wait()
        await self._queue.rest()

    async def run(self) -> None:
        """Work until cancelled; `source` must be running."""
        await self._world.synced()
        self._world.listen(self._queue.add)
        self._listening.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._world.slices.settle(self._client, ENDPOINT_SLICES))
            tasks.create_task(self._world.endpoints.settle(self._client, ENDPOINTS))
            tasks.create_task(self._queue.work(self._work, workers=self._settings.workers))

    async def _work(self, job: Job) -> None:
        parts: dict[Part, Callable[[Job], Awaitable[None]]] = {
            "slices": self._slices,
            "endpoints": self._endpoints,
            "mirror": self._mirror,
        }
        began, result = time.perf_counter(), "error"
        try:
            await parts[job.part](job)
            result = "success"
        except Conflict:
            result = "stale"
            raise
        except ApiError as error:
            self._complain(job, error)
            raise
        finally:
            self.metrics.worked(job.part, time.perf_counter() - began, result)

    def _complain(self, job: Job, error: ApiError) -> None:
        """Tell of a write that will be refused until somebody changes something."""
        service = self._world.services.get(job.key)
        if service is not None and isinstance(error, BadRequest | Forbidden | Invalid):
            reason = Reason.ENDPOINTS_FAILED if job.part == "endpoints" else Reason.SLICES_FAILED
            self._recorder.event(service.reference, "Warning", reason, f"the API server refused a write: {error}")

    async def _slices(self, job: Job) -> None:
        """Bring the slices of one Service up to date."""
        service = self._world.services.get(job.key)
        existing = self._world.slices_of(job.key, SLICE_CONTROLLER)
        if service is None:
            self._forget(job)
            orphans = tuple(one for one in existing if one.owner is not None)
            if orphans and await self._is_gone(job.key):
                await self._write(Changes(delete=orphans), self.metrics.slices)
            return
        if not has_slices(service):
            return
        pods = self._world.selected(service)
        seen, trigger_time = attribute(self._seen.get(job), service, pods)
        plan = slices(
            service,
            pods,
            self._world.nodes,
            existing,
            limit=self._settings.max_endpoints_per_slice,
            trigger_time=trigger_time,
        )
        self._report(job, service.reference, frozenset(plan.notices))
        self.metrics.planned(service, existing, plan.changes)
        await self._write(plan.changes, self.metrics.slices)
        self._seen[job] = seen

    async def _endpoints(self, job: Job) -> None:
        """Bring the Endpoints of one Service up to date."""
        service, existing = self._world.services.get(job.key), self._world.endpoints.get(job.key)
        if service is None:
            self._forget(job)
            doomed = existing is not None and (existing.ours or job.key in self._world.departed)
            if existing is not None and doomed and await self._is_gone(job.key):
                await self._delete_endpoints(job.key, existing.uid)
            self._world.departed.discard(job.key)
            return
        if not has_slices(service):
            return
        pods = self._world.selected(service)
        seen, trigger_time = attribute(self._seen.get(job), service, pods)
        wanted = desired(service, pods, existing, trigger_time=trigger_time)
        if wanted is not None and not (existing is None and service.terminating):
            reply = await self._put_endpoints(endpoints_json(wanted), create=existing is None)
            if reply:
                self._world.endpoints.wrote(reply)
        self._seen[job] = seen

    async def _mirror(self, job: Job) -> None:
        """Bring the mirrored slices of one Service up to date."""
        service, endpoints = self._world.services.get(job.key), self._world.endpoints.get(job.key)
        existing = self._world.slices_of(job.key, MIRROR_CONTROLLER)
        if service is None and existing and not await self._is_gone(job.key):
            return
        plan = mirror(service, endpoints, existing)
        if endpoints is None:
            self._reported.pop(job, None)
        else:
            self._report(job, endpoints.reference, frozenset(plan.notices))
        if existing or plan.changes or plan.notices:
            self.metrics.mirroring(job.key, existing, plan.changes, skipped(endpoints))
        await self._write(plan.changes, self.metrics.mirrored)

    async def _write(self, changes: Changes, counted: Counted) -> None:
        """Write slices: new ones before old ones go, so that no endpoint is missing in between."""
        for one in changes.create:
            reply = await unless_terminating(self._client.create(ENDPOINT_SLICES, slice_json(one), one.namespace))
            if reply:
                self._world.slices.wrote(reply)
                counted.changes["create"] += 1
        for one in changes.update:
            self._world.slices.wrote(await self._update(one))
            counted.changes["update"] += 1
        for one in changes.delete:
            await self._delete(one)
            counted.changes["delete"] += 1

    async def _update(self, one: EndpointSlice) -> Json:
        try:
            return await self._client.update(ENDPOINT_SLICES, slice_json(one))
        except NotFound as error:
            self._world.slices.deleted(one.key, one.uid)
            raise Conflict(error.status) from error  # planned again without it

    async def _delete(self, one: EndpointSlice) -> None:
        try:
            await self._client.delete(ENDPOINT_SLICES, one.name, one.namespace, uid=one.uid)
        except (NotFound, Conflict):
            log.debug("%s had gone already", one.reference)
        self._world.slices.deleted(one.key, one.uid)

    async def _put_endpoints(self, body: Json, *, create: bool) -> Json | None:
        if create:
            return await unless_terminating(self._client.create(ENDPOINTS, body))
        try:
            return await self._client.update(ENDPOINTS, body)
        except NotFound as error:
            meta = body["metadata"]
            self._world.endpoints.deleted(f"{meta['namespace']}/{meta['name']}", meta.get("uid", ""))
            raise Conflict(error.status) from error  # created the next time

    async def _delete_endpoints(self, key: str, uid: str) -> None:
        namespace, _, name = key.partition("/")
        try:
            await self._client.delete(ENDPOINTS, name, namespace, uid=uid)
        except (NotFound, Conflict):
            log.debug("Endpoints %s had gone already", key)
        self._world.endpoints.deleted(key, uid)

    async def _is_gone(self, key: str) -> bool:
        """Ask whether a Service does not exist, before anything is deleted because our cache does not show it."""
        namespace, _, name = key.partition("/")
        try:
            await self._client.get(SERVICES, name, namespace)
        except NotFound:
            return True
        return False  # the cache will show it, and call for work

    def _report(self, job: Job, about: Reference, notices: frozenset[Notice]) -> None:
        """Tell of each thing once, when it appears; of very many, of some and their number."""
        new = sorted(notices - self._reported.get(job, frozenset()))
        for notice in new[:_TOLD_AT_ONCE]:
            self._recorder.event(about, "Warning", notice.reason, str(notice))
        if len(new) > _TOLD_AT_ONCE:
            self._recorder.event(about, "Warning", Reason.LEFT_OUT, f"and {len(new) - _TOLD_AT_ONCE} more like these")
        self._reported[job] = notices
        if not notices:
            del self._reported[job]

    def _forget(self, job: Job) -> None:
        if job.part == "slices":
            self.metrics.forget(job.key)
        self._seen.pop(job, None)
        self._reported.pop(job, None)


async def unless_terminating(creation: Awaitable[Json]) -> Json | None:
    """Create, unless the namespace is going or gone: then there is nothing to do, and nothing to try again."""
    try:
        return await creation
    except Forbidden as error:
        if not _is_terminating(error):
            raise
    except NotFound as error:
        log.debug("not created: %s", error)
    return None


def _is_terminating(error: StatusError) -> bool:
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
