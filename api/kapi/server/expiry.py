"""Events are kept for an hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from kapi.errors import ApiError
from kapi.resources import EVENTS
from kapi.server.columns import parse_time
from kapi.server.options import Options
from kapi.server.records import Record
from kapi.server.state import State
from kapi.server.writing import Writer

log = logging.getLogger(__name__)

_LIFE = timedelta(hours=1)
_EVERY = 60.0  # seconds


async def expire_events(state: State, writer: Writer, clock: Callable[[], datetime]) -> None:
    """Remove events an hour after they last happened, for ever."""
    while True:
        try:
            await remove_expired(state, writer, clock() - _LIFE)
        except ApiError as error:
            log.info("events that are over an hour old stay for now: %s", error)
        await asyncio.sleep(_EVERY)


async def remove_expired(state: State, writer: Writer, before: datetime) -> None:
    """Remove the events that last happened before a moment."""
    for record in [record for record in state.of(EVENTS).records() if _is_over(record, before)]:
        await writer.remove(record, Options())


def _is_over(record: Record, before: datetime) -> bool:
    obj = record.object
    last = obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"]["creationTimestamp"]
    moment = parse_time(last)
    return moment is not None and moment < before
