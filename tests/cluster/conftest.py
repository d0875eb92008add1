"""One lab for all cluster tests of a session: starting it is cheap, starting it for every test is not needed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.cluster.space import Space

from kapi.resources import NAMESPACES, PODS
from netnslab import doctor
from netnslab.lab import Lab

_numbers = itertools.count(1)


def missing() -> str:
    """Why no lab can run here, or ""."""
    needed = [finding for finding in doctor.examine() if finding.needed and not finding.present]
    return "; ".join(f"{finding.feature}: {finding.detail}" for finding in needed)


@pytest.fixture(scope="session")
def can_run_labs() -> None:
    """Skips, with the reason, where the kernel lacks what a lab needs."""
    reason = missing()
    if reason:
        pytest.skip(f"no lab can run here: {reason}")


@pytest.fixture(scope="session")
def running_lab(can_run_labs: None) -> Iterator[Lab]:
    """The lab of the session, started once. Use `lab` in tests: its client belongs to the test's event loop."""
    lab = Lab()
    asyncio.run(lab.start())
    yield lab
    asyncio.run(lab.stop())


@pytest.fixture
async def lab(running_lab: Lab) -> AsyncIterator[Lab]:
    """The session's lab, with a client of this test's own."""
    async with running_lab.connected():
        yield running_lab


@pytest.fixture
async def space(lab: Lab) -> AsyncIterator[Space]:
    name = f"pods-{next(_numbers)}"
    await lab.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Space(lab, name)
    for pod in (await lab.client.list(PODS, name)).items:
        await lab.client.delete(PODS, pod["metadata"]["name"], name, grace_seconds=0)
    await lab.client.delete(NAMESPACES, name)
