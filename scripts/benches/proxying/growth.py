"""Cold start, one change, many changes a second, and memory, of one mode: `growth MODE SERVICES CHANGES SECONDS`.

A change is timed from the JSON of a watch event: decoding, the cache and the commit are in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence

from benches.proxying.cluster import Json, Running, endpoint_slice
from netnslab.kernel import Namespace

ENDPOINTS = 10
_EVENTS = 4000  # written beforehand, and brought again and again
RATE = 1000  # changes a second
_ALONE = 3.0  # seconds for which events are brought to nobody


async def measure(mode: str, services: int, changes: int, seconds: float) -> dict[str, float]:
    """Measure; seconds, megabytes, and shares of a core."""
    with Namespace.create() as namespace:
        proxy = Running(namespace, mode)
        if proxy.backend.missing():
            return {}
        proxy.fill(services, ENDPOINTS)
        started = time.perf_counter()
        await proxy.start()
        found = {"cold": time.perf_counter() - started}
        times = sorted([await _one(proxy, number, services) for number in range(changes)])
        found |= {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}
        found |= {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        if seconds:
            found |= await _many(proxy, services, seconds)
        await proxy.stop()
    return found


def _event(number: int, services: int, apart: int = 1) -> Json:
    """An endpoint stops being ready, and `apart` events later it is ready again."""
    turn, place = divmod(number, apart)
    return endpoint_slice((place + turn // 2 * apart) * 37 % services, ENDPOINTS, unready=-1 if turn % 2 else 3)


async def _one(proxy: Running, number: int, services: int) -> float:
    await asyncio.sleep(2 * proxy.settings.rest_seconds)  # one change, not many: those are taken together
    event = _event(number, services)
    started = time.perf_counter()
    proxy.slices.put(event)
    finished, _ = await proxy.finished.get()
    return finished - started


async def _many(proxy: Running, services: int, seconds: float) -> dict[str, float]:
    """Bring events at their times, and see how long after it each is committed.

    What the bringing itself costs is in the share of a core, and told beside it.
    """
    count = min(_EVENTS, 2 * services)
    events = [_event(number, services, count // 2) for number in range(count)]
    gc.collect()
    gc.freeze()  # none of it is the proxy's
    idle = await _brought(lambda _: None, events, _ALONE)
    began, busy = time.perf_counter(), time.process_time()  # the clock of the loop, too
    latest = asyncio.create_task(_latest(proxy, began, int(RATE * seconds)))
    await _brought(proxy.slices.put, events, seconds)
    late = await latest
    return {"core": (time.process_time() - busy) / (time.perf_counter() - began), "late": late, "bringing": idle}


async def _brought(take: Callable[[Json], object], events: Sequence[Json], seconds: float) -> float:
    """Bring events at their times; the share of a core that this took."""
    loop, count = asyncio.get_running_loop(), int(RATE * seconds)
    over = loop.create_future()

    def bring(number: int) -> None:
        while number < count and began + number / RATE <= time.monotonic():
            take(events[number % len(events)])
            number += 1
        if number < count:
            loop.call_at(began + number / RATE, bring, number)
        else:
            over.set_result(None)

    began, busy = time.monotonic(), time.process_time()
    bring(0)
    await over
    return (time.process_time() - busy) / (time.monotonic() - began)


async def _latest(proxy: Running, began: float, count: int) -> float:
    """Give the longest time between when an event was due and when it was committed."""
    committed, latest = 0, 0.0
    while committed < count:
        finished, done = await proxy.finished.get()
        latest = max(latest, finished - (began + committed / RATE))  # of those it brought, the first was due first
        committed += done.taken.slices
    return latest


if __name__ == "__main__":
    mode, services, changes, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(mode, int(services), int(changes), float(seconds)))))
