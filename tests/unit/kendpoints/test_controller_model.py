"""Random histories: whatever happens, at rest every Service has exactly the endpoints that an oracle says."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES

APPS = ("web", "api")
NUMBERS = st.integers(0, 7)
STEPS = st.one_of(
    st.tuples(st.just("pod"), NUMBERS, st.sampled_from(APPS), st.sampled_from("ab"), st.booleans()),
    st.tuples(st.just("turn"), NUMBERS, st.booleans()),
    st.tuples(st.just("finish"), NUMBERS),
    st.tuples(st.just("relabel"), NUMBERS, st.sampled_from(APPS)),
    st.tuples(st.just("delete"), NUMBERS, st.sampled_from((None, 0))),
    st.tuples(st.just("service"), st.sampled_from(APPS)),
    st.tuples(st.just("select"), st.sampled_from(APPS), st.sampled_from(APPS)),
    st.tuples(st.just("drop"), st.sampled_from(APPS)),
    st.tuples(st.just("node"), st.sampled_from("ab"), st.booleans()),
    st.tuples(st.just("meddle"), st.integers(0, 5), st.booleans()),
    st.tuples(st.sampled_from(("crash", "twin", "lag", "flow", "rest", "pause"))),
)


async def act(here: Any, what: str, *given: Any) -> None:
    """Take one step of a history."""
    match what, given:
        case "pod", (number, app, node, ready):
            await here.pod(number, app, node=node, ready=ready)
        case "turn", (number, ready):
            await here.status(number, ready=ready)
        case "finish", (number,):
            await here.status(number, ready=False, phase="Succeeded")
        case "relabel", (number, app):
            await here.client.patch(PODS, f"p{number}", {"metadata": {"labels": {"app": app}}}, "default")
        case "delete", (number, grace):
            await here.client.delete(PODS, f"p{number}", "default", grace_seconds=grace)
        case "service", (name,):
            await here.service(name)
        case "select", (name, app):
            await here.client.patch(SERVICES, name, {"spec": {"selector": {"app": app}}}, "default")
        case "drop", (name,):
            await here.client.delete(SERVICES, name, "default")
        case "node", (name, there):
            await (here.node(name) if there else here.client.delete(NODES, name))
        case "meddle", (index, gone):
            await meddle(here, index, gone=gone)
        case "rest", ():
            here.lagging.flowing.set()
            await here.at_rest()
        case _:
            await disturb(here, what)


async def disturb(here: Any, what: str) -> None:
    """Trouble the controller itself."""
    match what:
        case "crash":
            await here.stop()
            here.start()
        case "twin":
            await here.toggle_twin()
        case "lag":
            here.lagging.flowing.clear()
        case "flow":
            here.lagging.flowing.set()
        case "pause":
            await asyncio.sleep(0.003)


async def meddle(here: Any, index: int, *, gone: bool) -> None:
    """Delete or spoil a slice, as somebody who should not."""
    found = (await here.client.list(ENDPOINT_SLICES, "default")).items
    if not found:
        return
    name = found[index % len(found)]["metadata"]["name"]
    if gone:
        await here.client.delete(ENDPOINT_SLICES, name, "default")
    else:
        await here.client.patch(ENDPOINT_SLICES, name, {"endpoints": []}, "default")


@pytest.mark.timeout(300)  # a thousand histories, some milliseconds each
@settings(max_examples=1000)
@given(st.lists(STEPS, min_size=5, max_size=25))
def test_at_rest_every_service_has_the_oracles_endpoints(cluster: Any, history: list[tuple[Any, ...]]) -> None:
    async def run() -> None:
        async with cluster() as here:
            await here.service("web")
            for step in history:
                with contextlib.suppress(ApiError):  # what is not there cannot be changed
                    await act(here, *step)
            here.lagging.flowing.set()
            await here.at_rest()
            await here.becomes(await here.wanted(), here.written)
            await no_slice_is_too_large_or_needless(here)

    asyncio.run(run())


async def no_slice_is_too_large_or_needless(here: Any) -> None:
    sizes: dict[str, list[int]] = {}
    for one in (await here.client.list(ENDPOINT_SLICES, "default")).items:
        service = one["metadata"]["labels"]["kubernetes.io/service-name"]
        sizes.setdefault(service, []).append(len(one["endpoints"] or ()))
    assert all(max(found) <= here.settings.max_endpoints_per_slice for found in sizes.values())
    assert all(len(found) == 1 for found in sizes.values() if 0 in found), "an empty slice is alone"
