"""The changes of a collection, kept once for all who follow them."""

from __future__ import annotations

import asyncio
import time

import pytest

from kapi.errors import StatusError
from kapi.server import history as module
from kapi.server.history import Change, History
from kapi.server.records import Record


def change(version: int, namespace: str = "default", at: float | None = None) -> Change:
    record = Record(f"c/{namespace}/o", namespace, "o", version, {"metadata": {"resourceVersion": str(version)}})
    return Change("MODIFIED", record, None, time.monotonic() if at is None else at)


async def test_those_who_see_the_same_share_it_and_its_bytes() -> None:
    history = History(0)
    for version in (1, 2, 3):
        history.add(change(version, "a" if version == 2 else "b"))
    assert history.batch(1, "") is history.batch(1, "")
    assert [event.record and event.record.version for event in history.batch(1, "").events] == [2, 3]
    assert [event.record and event.record.version for event in history.batch(0, "b").events] == [1, 3]
    assert history.batch(1, "").encoded.count(b"\n") == 2
    history.add(change(4))
    assert len(history.batch(1, "").events) == 3


async def test_followers_are_woken_once_for_all_that_comes_at_once() -> None:
    history, woken = History(0), []
    history.followers.add(lambda: woken.append(history.end))
    for version in (1, 2, 3):
        history.add(change(version))
    assert not woken
    await asyncio.sleep(0.01)
    assert woken == [3]


async def test_a_crowd_is_woken_again_only_after_a_while() -> None:
    history, woken = History(0), []
    history.followers.update({(lambda n=n: woken.append(n)) for n in range(50)})  # type: ignore[misc]  # a default binds the loop's value
    history.add(change(1))
    await asyncio.sleep(0.001)
    history.add(change(2))
    await asyncio.sleep(0.001)
    assert len(woken) == 50
    await asyncio.sleep(0.1)
    assert len(woken) == 100


async def test_who_falls_behind_what_is_kept_has_lost_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_AT_LEAST", 2)
    history = History(0)
    for version in range(1, 6):
        history.add(change(version, at=version * 1_000.0))
    assert history.is_lost(0)
    assert not history.is_lost(3)
    assert history.place_of(3) == 3
    with pytest.raises(StatusError, match=r"too old resource version: 2 \(3\)"):
        history.place_of(2)
