"""Tells people, through Events on their objects, what was done with them or left out."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from kapi.client import Client
from kapi.errors import ApiError, Conflict, NotFound
from kapi.network import Reference
from kapi.resources import EVENTS

Json = dict[str, Any]
Level = Literal["Normal", "Warning"]

log = logging.getLogger(__name__)

_REMEMBERED = 4096  # distinct events whose repetitions are counted instead of written anew
_WAITING = 1000  # events not yet written; beyond that they are logged only


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


class Recorder:
    """Writes Events in the background: `event` never waits and never fails.

    The same event again (object, reason and message) raises the count of the first one. Without a client, events go
    to the log only. Run `run` for as long as events should be written.
    """

    def __init__(self, component: str, client: Client | None = None, *, clock: Callable[[], datetime] = now) -> None:
        self.component = component
        self._client = client
        self._clock = clock
        self._queue: asyncio.Queue[Json] = asyncio.Queue(_WAITING)
        self._known: dict[tuple[str, ...], Json] = {}

    def event(self, about: Reference, level: Level, reason: str, message: str) -> None:
        """Record that something happened to an object. `reason` is one CamelCase word, `message` a sentence."""
        log.log(logging.WARNING if level == "Warning" else logging.INFO, "%s: %s: %s", about, reason, message)
        if self._client is None:
            return
        try:
            self._queue.put_nowait(self._written(about, level, reason, message))
        except asyncio.QueueFull:
            log.warning("too many events are waiting to be written: the one above is in the log only")

    async def run(self) -> None:
        """Write events as they come, for ever."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except ApiError as error:
                log.info("an event could not be written: %s", error)
            except Exception:  # the outermost edge of one event: those that wait behind it are not its fault
                log.exception("an event about %s could not be written", event["involvedObject"])

    def _written(self, about: Reference, level: Level, reason: str, message: str) -> Json:
        stamp = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        key = (str(about), about.uid, reason, message)
        first = self._known.pop(key, None)
        if first is None:
            first = self._first(about, level, reason, message, stamp)
        else:
            first = {**first, "count": first["count"] + 1, "lastTimestamp": stamp}
        self._known[key] = first
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        return first

    def _first(self, about: Reference, level: Level, reason: str, message: str, stamp: str) -> Json:
        namespace = about.namespace or "default"
        involved = {"kind": about.kind, "name": about.name, "apiVersion": about.api_version}
        involved |= {"namespace": about.namespace} if about.namespace else {}
        involved |= {"uid": about.uid} if about.uid else {}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about.name}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": involved,
            "type": level,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "count": 1,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
        }

    async def _write(self, event: Json) -> None:
        assert self._client is not None
        meta = event["metadata"]
        if event["count"] == 1:
            await self._client.create(EVENTS, event, meta["namespace"])
            return
        patch = {"count": event["count"], "lastTimestamp": event["lastTimestamp"]}
        try:
            await self._client.patch(EVENTS, meta["name"], patch, meta["namespace"])
        except (NotFound, Conflict):
            await self._client.create(EVENTS, event, meta["namespace"])
