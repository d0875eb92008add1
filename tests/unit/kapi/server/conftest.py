"""A server on each of the stores, reached directly and over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from kapi.store import Store
from kapi.testing import Served, serving


@pytest.fixture
async def served(make: Callable[[], Store]) -> AsyncIterator[Served]:
    async with serving(make()) as running:
        yield running
