"""A work queue for controllers: each key once, one worker a key, and failures again after a growing delay.

The semantics are those of client-go's rate-limited work queue: a key that is added while it waits is still handled
once, a key that is added while it is being handled is handled once more afterwards, and what fails comes back after an
exponential back-off of its own, so that one bad object never slows the others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from kapi.errors import ApiError, Conflict

K = TypeVar("K", bound=Hashable)

log = logging.getLogger(__name__)


class Timer(Protocol):
    """A call to come, as the event loop's `call_at` gives it."""

    def cancel(self) -> None:
        """Do not call."""
        ...

    def when(self) -> float:
        """The moment of the call, on the clock."""
        ...


class Clock(Protocol):
    """What an event loop is of a clock."""

    def time(self) -> float:
        """Seconds since some moment."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call at a moment."""
        ...


class Queue(Generic[K]):
    """Keys that need work.

    `first` and `longest` bound the back-off of a failing key, in seconds; each delay is stretched by up to `jitter()`
    (0 to 1) of itself. The clock is the running loop when none is given.
    """

    def __init__(
        self,
        *,
        first: float = 0.02,
        longest: float = 60.0,
        jitter: Callable[[], float] = random.random,
        clock: Clock | None = None,
    ) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._clock = clock
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()  # in _ready, or to be put there when its worker is done
        self._handled: set[K] = set()
        self._timers: dict[K, Timer] = {}
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()
        self._rested = asyncio.Event()

    def __len__(self) -> int:
        """How many keys wait, delayed ones included."""
        return len(self._waiting) + len(self._timers)

    @property
    def waiting(self) -> tuple[K, ...]:
        """The keys that wait, delayed ones included."""
        return (*self._waiting, *self._timers)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being handled."""
        return not (self._waiting or self._timers or self._handled)

    async def rest(self) -> None:
        """Wait until the queue is idle."""
        while not self.idle:
            self._rested.clear()
            await self._rested.wait()

    def add(self, key: K, delay: float = 0.0) -> None:
        """Ask for work on `key`, at the latest `delay` seconds from now; asking twice is asking once."""
        if delay > 0:
            self._add_later(key, delay)
            return
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._handled:
            self._ready.append(key)
            self._wake.set()

    def retry(self, key: K) -> float:
        """Ask for work on a key that failed; gives the delay after which it comes, in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(self._first * 2.0 ** min(failures - 1, 60), self._longest) * (1 + self._jitter())
        self.add(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Work on `key` succeeded: its next failure starts with the shortest delay again."""
        self._failures.pop(key, None)

    async def take(self) -> K:
        """Wait for a key to work on. Call `done` when finished with it."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._handled.add(key)
        return key

    def done(self, key: K) -> None:
        """Finish with a key; if it was added meanwhile it comes again."""
        self._handled.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._wake.set()
        elif self.idle:
            self._rested.set()

    async def work(self, handle: Callable[[K], Awaitable[Any]], *, workers: int = 1) -> None:
        """Handle keys for ever, `workers` at a time and never one key twice at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(handle))

    async def _worker(self, handle: Callable[[K], Awaitable[Any]]) -> None:
        while True:
            key = await self.take()
            try:
                await handle(key)
            except Conflict as error:
                log.debug("%s: %s; again in %.2f s", key, error, self.retry(key))
            except ApiError as error:
                log.warning("%s: %s; again in %.2f s", key, error, self.retry(key))
            except Exception:  # a fault met with one object must never stop the work on all others
                log.exception("%s: an unforeseen fault; again in %.2f s", key, self.retry(key))
            else:
                self.forget(key)
            finally:
                self.done(key)

    def _add_later(self, key: K, delay: float) -> None:
        if key in self._waiting:
            return
        clock: Clock = self._clock or asyncio.get_running_loop()
        moment, known = clock.time() + delay, self._timers.get(key)
        if known is not None:
            if known.when() <= moment:
                return
            known.cancel()
        self._timers[key] = clock.call_at(moment, partial(self.add, key))
