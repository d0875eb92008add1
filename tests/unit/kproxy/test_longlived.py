"""When garbage is looked for: never all at once while the cluster changes, and none of it is kept for good."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from kproxy.longlived import LongLived, uncollected


class Ring:
    """An object that refers to itself: only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def known() -> Iterator[LongLived]:
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()  # what the tests' own process knows is looked through by no test
    made = LongLived()
    made.start(0.0)
    gc.freeze()
    try:
        yield made
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


def held(*rings: Ring) -> list[weakref.ref[Ring]]:
    return [weakref.ref(ring) for ring in rings]


def test_what_was_alive_when_it_was_set_aside_is_freed_in_a_quiet_moment(known: LongLived) -> None:
    ring = Ring()
    (left,) = held(ring)
    known.note(100)  # it is among what stays now
    del ring
    known.note(100)
    assert left()
    known.rest(61.0)
    assert left()  # there was a change just before
    known.rest(66.0)
    assert not left()


def test_what_came_with_a_whole_cluster_is_freed_in_a_quiet_moment(known: LongLived) -> None:
    with uncollected():
        ring = Ring()
    (left,) = held(ring)
    del ring
    gc.collect(1)
    assert left()  # not looked through with what is new: it would be too much
    known.rest(61.0)
    assert not left()


def test_garbage_among_what_is_new_is_freed_after_a_hundred_services(known: LongLived) -> None:
    (left,) = held(Ring())
    known.note(99)
    assert left()
    known.note(1)
    assert not left()


def test_everything_is_looked_through_now_and_then_though_there_is_never_quiet(known: LongLived) -> None:
    with uncollected():
        (left,) = held(Ring())
    for now in range(60, 600, 5):
        known.note(1)
        known.rest(float(now))
    assert left()
    known.note(1)
    known.rest(600.0)
    assert not left()


def test_everything_is_looked_through_once_a_minute_at_most(known: LongLived) -> None:
    known.rest(60.0)
    with uncollected():
        (left,) = held(Ring())
    known.rest(119.0)
    assert left()
    known.rest(120.0)
    assert not left()


def test_the_collector_itself_looks_through_what_is_new_only(known: LongLived) -> None:
    generations: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            generations.append(about["generation"])

    gc.callbacks.append(note)
    try:
        kept = [[number] for number in range(200_000)]
    finally:
        gc.callbacks.remove(note)
    assert len(kept) == 200_000
    assert max(generations) == 1, known
