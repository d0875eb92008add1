"""The same histories, given to the released kube-controller-manager, end in the same slices and Endpoints."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.conformance.endpoints.history import Place, history, settle_in, take, touch
from tests.conformance.endpoints.sides import ours, released
from tests.conformance.endpoints.written import written

from kapi.client import Client
from kendpoints.controller import Settings

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

HISTORIES = 120
AT_ONCE = 12
STEPS = 25
PAUSE = 0.05  # seconds between steps
LOCK_STEP = 1.5  # seconds that one may lag behind the other before the next step
PATIENCE = 20.0  # seconds; the released controllers try again only after one second, and then two, and four


async def test_random_histories_end_in_the_same_slices_and_endpoints() -> None:
    settings = Settings()
    async with ours(settings) as here, released(settings) as there:
        for first in range(0, HISTORIES, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            told = await asyncio.gather(*(_play([here, there], number) for number in numbers))
            assert not any(told), "\n\n".join(filter(None, told))


async def _play(clusters: list[Client], number: int) -> str:
    """Play one history in both clusters; gives "" or how they differ."""
    places = [Place(client, f"h{number}") for client in clusters]
    steps = list(history(Random(number), STEPS))
    for place in places:
        await settle_in(place)
    for step in steps:
        for place in places:
            await take(place, step)
        await asyncio.sleep(PAUSE)
        await _difference(places, patience=LOCK_STEP, agreements=1)
    for place in places:
        await touch(place)
    difference = await _difference(places, patience=PATIENCE, agreements=5)
    return "\n".join([f"history {number}", *map(str, steps), difference]) if difference else ""


async def _difference(places: list[Place], *, patience: float, agreements: int) -> str:
    """Wait until both have written the same, so often in a row; gives "" or what only one of them has written."""
    deadline = asyncio.get_running_loop().time() + patience
    agreed = 0
    while agreed < agreements:
        here, there = [await written(place.client, place.namespace) for place in places]
        agreed = agreed + 1 if here == there else 0
        if agreed == 0 and asyncio.get_running_loop().time() > deadline:
            only = sorted(set(here) - set(there)), sorted(set(there) - set(here))
            return "only ours: {}\nonly theirs: {}".format(*only)
        await asyncio.sleep(PAUSE)
    return ""
