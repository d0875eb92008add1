"""Tells people of the objects that nobody here acts on, by an Event on each: otherwise they would seem to work."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from kapi.cache import Change
from kapi.events import Recorder
from kapi.network import Reference
from kapi.resources import (
    CRON_JOBS,
    HORIZONTAL_POD_AUTOSCALERS,
    NETWORK_POLICIES,
    Resource,
)
from kapi.source import Source

Json = dict[str, Any]

_WHY = {
    CRON_JOBS: "no pods come of it",
    HORIZONTAL_POD_AUTOSCALERS: "nothing is scaled by it",
    NETWORK_POLICIES: "all connections are let through, as if it were not there",
}


def reference(obj: Json) -> Reference:
    """What an Event about an object points at."""
    meta = obj["metadata"]
    return Reference(obj["kind"], meta.get("namespace") or "", meta["name"], meta.get("uid") or "", obj["apiVersion"])


async def run(source: Source, recorder: Recorder) -> None:
    """Tell of each of them once, until cancelled."""

    def tell(resource: Resource, change: Change[Reference]) -> None:
        about = change.new
        if about is not None and (change.old is None or change.old.uid != about.uid):
            message = f"this lab keeps a {resource.kind} and does not act on it: {_WHY[resource]}"
            recorder.event(about, "Warning", "NotActedOn", message)

    for resource in _WHY:
        source.cache(resource, reference).listen(partial(tell, resource))
    await asyncio.Event().wait()
