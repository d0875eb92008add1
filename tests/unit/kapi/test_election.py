"""Leaders: one at a time, the next one when the last is silent, at once when it leaves in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from kapi.client import Client
from kapi.election import Elector, Sight, Terms, claim
from kapi.errors import ConnectionLost, LeaseLost
from kapi.resources import LEASES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kapi.transport import Request, Transport

Json = dict[str, Any]

QUICK: dict[str, Any] = {"lease": 1.0, "deadline": 0.4, "retry": 0.05}
THEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 2, tzinfo=UTC)


def terms(identity: str = "a") -> Terms:
    return Terms(identity, "endpoints", **QUICK)


def lease(holder: str, seconds: int = 15, **spec: Any) -> Json:
    return {"metadata": {"name": "l"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, **spec}}


@pytest.mark.parametrize(
    ("holder", "since", "moment", "expected"),
    [
        ("", 100.0, 100.0, 0.0),
        ("me", 100.0, 100.0, 0.0),
        ("other", 100.0, 100.0, 15.0),
        ("other", 100.0, 110.0, 5.0),
        ("other", 100.0, 116.0, -1.0),
    ],
)
def test_a_lease_is_free_when_nobody_or_its_taker_holds_it_or_it_stood_still_too_long(
    holder: str, since: float, moment: float, expected: float
) -> None:
    assert Sight(lease(holder), since).free_in("me", moment) == expected


def test_a_lease_that_was_renewed_is_seen_anew_and_one_that_was_not_is_not() -> None:
    sight = Sight(lease("other", renewTime="1"), 100.0)
    assert sight.seen(lease("other", renewTime="1"), 110.0) is sight
    assert sight.seen(lease("other", renewTime="2"), 110.0).since == 110.0


def test_taking_over_counts_a_transition_and_renewing_does_not() -> None:
    first = claim(terms("a"), None, THEN)
    renewed = claim(terms("a"), first, LATER)
    taken = claim(terms("b"), renewed, LATER)
    assert [one["spec"]["leaseTransitions"] for one in (first, renewed, taken)] == [0, 0, 1]
    assert [one["spec"]["acquireTime"][:10] for one in (first, renewed, taken)] == [
        "2026-01-01",
        "2026-01-01",
        "2026-01-02",
    ]
    assert renewed["spec"]["renewTime"].startswith("2026-01-02")


@pytest.mark.parametrize("times", [{"lease": 1.0}, {"deadline": 1.0}, {"retry": 0.0}], ids=str)
def test_times_that_would_let_two_lead_at_once_are_refused(times: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="each must be longer than the next"):
        Terms("a", "l", **times)


class Cut:
    """A transport that can be cut."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.cut = False

    async def send(self, request: Request) -> Json:
        if self.cut:
            raise ConnectionLost("cut")
        return await self._inner.send(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        return self._inner.stream(request)

    async def close(self) -> None:
        await self._inner.close()


class Leaders:
    """Who leads, and the most that ever did at once."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.most = 0

    async def lead(self, name: str) -> None:
        self.now.append(name)
        self.most = max(self.most, len(self.now))
        try:
            await asyncio.Event().wait()
        finally:
            self.now.remove(name)

    async def become(self, *names: str) -> None:
        async with asyncio.timeout(5):
            while tuple(self.now) != names:  # noqa: ASYNC110  # a test
                await asyncio.sleep(0.005)


async def test_one_leads_at_a_time_and_who_leaves_in_order_is_followed_at_once() -> None:
    async with ApiServer(MemoryStore()) as server:
        leaders = Leaders()
        running = [
            asyncio.create_task(Elector(server.client(), terms(name)).lead(lambda name=name: leaders.lead(name)))  # type: ignore[misc]  # a default binds the loop's value
            for name in "ab"
        ]
        await leaders.become("a")
        await asyncio.sleep(0.5)
        assert leaders.now == ["a"], "a leader that renews stays"
        running[0].cancel()
        began = asyncio.get_running_loop().time()
        await leaders.become("b")
        assert asyncio.get_running_loop().time() - began < 0.5, "and is not waited for when it says that it goes"
        held = await server.client().get(LEASES, "endpoints", "kube-system")
        assert (held["spec"]["holderIdentity"], held["spec"]["leaseTransitions"]) == ("b", 1)
        running[1].cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert leaders.most == 1


async def test_a_leader_that_is_cut_off_stops_before_the_next_one_begins() -> None:
    async with ApiServer(MemoryStore()) as server:
        leaders, cut = Leaders(), Cut(server.client().transport)
        first = asyncio.create_task(Elector(Client(cut), terms("a")).lead(lambda: leaders.lead("a")))
        await leaders.become("a")
        second = asyncio.create_task(Elector(server.client(), terms("b")).lead(lambda: leaders.lead("b")))
        cut.cut = True
        await leaders.become()
        with pytest.raises(LeaseLost, match=r"kube-system/endpoints of a was not renewed within 0\.4 s"):
            await first
        await leaders.become("b")
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert leaders.most == 1


async def test_a_lease_that_somebody_else_took_is_given_up_at_once() -> None:
    async with ApiServer(MemoryStore()) as server:
        leaders, client = Leaders(), server.client()
        leading = asyncio.create_task(Elector(client, terms("a")).lead(lambda: leaders.lead("a")))
        await leaders.become("a")
        await client.patch(LEASES, "endpoints", {"spec": {"holderIdentity": "thief"}}, "kube-system")
        with pytest.raises(LeaseLost, match="it is thief's"):
            await leading
        assert leaders.now == []


async def test_work_that_ends_or_fails_gives_the_lease_back() -> None:
    async with ApiServer(MemoryStore()) as server:

        async def fail() -> None:
            raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            await Elector(server.client(), terms()).lead(fail)
        held = await server.client().get(LEASES, "endpoints", "kube-system")
        assert held["spec"]["holderIdentity"] == ""
