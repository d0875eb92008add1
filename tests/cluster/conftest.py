"""One lab for all cluster tests of a session: starting it is cheap, starting it for every test is not needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from netnslab import doctor
from netnslab.lab import Lab


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
