"""Fixtures for tests that need namespaces, and the zygote's line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from netnslab import doctor, zygote
from netnslab.kernel import Namespace
from netnslab.processes import Processes


@pytest.fixture(scope="session", autouse=True)
def _kernel() -> None:
    """Skips all tests here, with the reason, where the kernel lacks what a lab needs."""
    needed = [finding for finding in doctor.examine() if finding.needed and not finding.present]
    if needed:
        pytest.skip("; ".join(f"{finding.feature}: {finding.detail}" for finding in needed))
    if os.geteuid() != 0:
        pytest.skip("namespaces without a lab around them need root")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace.create() as made:
        yield made


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    """A zygote of the test's own; it ends when the test's end of its line closes."""
    line = zygote.fork(("netnslab.echo",))
    with line, Processes(line).listening() as made:
        yield made


async def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Wait until something outside of this process has become true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0.01)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    """`await until(condition)`: wait until something outside of this process has become true."""
    return until


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a program's output goes."""
    return tmp_path / "log"
