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

from benches.proxying.cluster import Running, endpoint_slice
from netnslab.kernel import Namespace

ENDPOINTS = 10
_EVENTS = 4000  # written beforehand, and brought again and again
RATE = 1000  # changes a second


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


def _event(number: int, services: int) -> dict[str, object]:
    """An endpoint stops being ready, and with the next event it is ready again."""
    return endpoint_slice(number // 2 * 37 % services, ENDPOINTS, unready=3 if number % 2 == 0 else -1)


async def _one(proxy: Running, number: int, services: int) -> float:
    event = _event(number, services)
    started = time.perf_counter()
    proxy.slices.put(event)
    await proxy.finished.get()
    return time.perf_counter() - started


async def _many(proxy: Running, services: int, seconds: float) -> dict[str, float]:
    """Bring events at their times, and see when each is committed."""
    events = [_event(number, services) for number in range(min(_EVENTS, 2 * services))]
    gc.collect()
    gc.freeze()  # a proxy that has started does the same
    began, busy = time.perf_counter(), time.process_time()
    latest = 0.0
    for number in range(int(RATE * seconds)):
        due = began + number / RATE
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        while not proxy.finished.empty():
            proxy.finished.get_nowait()
        proxy.slices.put(events[number % len(events)])
        latest = max(latest, time.perf_counter() - due)
    await proxy.finished.get()
    elapsed = time.perf_counter() - began
    return {"core": (time.process_time() - busy) / elapsed, "late": max(latest, elapsed - seconds)}


if __name__ == "__main__":
    mode, services, changes, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(mode, int(services), int(changes), float(seconds)))))
