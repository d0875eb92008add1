"""A work queue: each key once, failures later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kapi.errors import Conflict, NotFound
from kapi.queue import Queue


class Call:
    """A call to come on a clock that the test moves."""

    def __init__(self, moment: float, call: Callable[[], None]) -> None:
        self.moment = moment
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def when(self) -> float:
        return self.moment


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[Call] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Call:
        self.calls.append(Call(when, callback))
        return self.calls[-1]

    def move(self, seconds: float) -> None:
        self.now += seconds
        due = [call for call in self.calls if call.moment <= self.now and not call.cancelled]
        self.calls = [call for call in self.calls if call.moment > self.now and not call.cancelled]
        for call in due:
            call.call()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue[str]:
    return Queue(first=1.0, longest=10.0, jitter=lambda: 0.0, clock=clock)


async def taken(queue: Queue[str]) -> list[str]:
    """Every key that is ready, in order; each is finished with at once."""
    found: list[str] = []
    while True:
        try:
            key = await asyncio.wait_for(queue.take(), 0.005)
        except TimeoutError:
            return found
        found.append(key)
        queue.done(key)


async def test_a_key_that_waits_is_handled_once_however_often_it_is_added(queue: Queue[str]) -> None:
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert await taken(queue) == ["a", "b"]


async def test_a_key_that_is_added_while_it_is_handled_comes_again_afterwards(queue: Queue[str]) -> None:
    queue.add("a")
    key = await queue.take()
    queue.add("a")
    queue.add("a")
    assert await taken(queue) == []
    queue.done(key)
    assert await taken(queue) == ["a"]


def test_who_asks_again_for_a_later_moment_sets_no_timer(queue: Queue[str], clock: Clock) -> None:
    for delay in (5, 5, 9, 7):
        queue.add("a", delay)
    assert len(clock.calls) == 1


async def test_a_delayed_key_comes_at_the_earliest_of_the_moments_asked_for(queue: Queue[str], clock: Clock) -> None:
    queue.add("a", 5)
    queue.add("a", 2)
    queue.add("a", 9)
    clock.move(1.9)
    assert await taken(queue) == []
    clock.move(0.2)
    assert await taken(queue) == ["a"]
    clock.move(20)
    assert await taken(queue) == []
    assert queue.idle


async def test_a_key_that_is_wanted_now_does_not_come_a_second_time_later(queue: Queue[str], clock: Clock) -> None:
    queue.add("a", 5)
    queue.add("a")
    queue.add("a", 3)
    assert await taken(queue) == ["a"]
    clock.move(10)
    assert await taken(queue) == []


def test_failures_come_back_after_growing_delays_until_forgotten(queue: Queue[str], clock: Clock) -> None:
    assert [queue.retry("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue.retry("b") == 1
    queue.forget("a")
    assert queue.retry("a") == 1


def test_jitter_stretches_a_delay() -> None:
    clock = Clock()
    assert Queue[str](first=1.0, jitter=lambda: 0.5, clock=clock).retry("a") == 1.5


@pytest.mark.parametrize("error", [Conflict({}), NotFound({}), ValueError("a fault")], ids=lambda e: type(e).__name__)
async def test_a_key_that_fails_is_tried_again_and_stops_no_other(error: Exception) -> None:
    queue: Queue[str] = Queue(first=0.001)
    handled: list[str] = []
    finished = asyncio.Event()

    async def handle(key: str) -> None:
        handled.append(key)
        if len(handled) == 5:
            finished.set()
        if key == "bad" and handled.count("bad") < 3:
            raise error

    work = asyncio.create_task(queue.work(handle, workers=2))
    for key in ("bad", "good", "better"):
        queue.add(key)
    await finished.wait()
    work.cancel()
    assert sorted(handled) == ["bad", "bad", "bad", "better", "good"]


async def test_no_key_is_ever_handled_twice_at_a_time() -> None:
    queue: Queue[str] = Queue()
    at_work: set[str] = set()

    async def handle(key: str) -> None:
        assert key not in at_work
        at_work.add(key)
        await asyncio.sleep(0)
        queue.add(key, 0.001 if len(at_work) > 1 else 0.0)
        await asyncio.sleep(0.001)
        at_work.discard(key)

    work = asyncio.create_task(queue.work(handle, workers=4))
    for key in "abc":
        queue.add(key)
    await asyncio.sleep(0.03)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_rest_waits_until_the_last_key_is_done() -> None:
    queue: Queue[str] = Queue()
    await queue.rest()
    queue.add("a")
    queue.add("b", 0.01)
    resting = asyncio.create_task(queue.rest())
    queue.done(await queue.take())
    await asyncio.sleep(0)
    assert not resting.done()
    queue.done(await queue.take())
    await resting
