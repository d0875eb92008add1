"""What the bench of this server makes of what dnsperf says: a query without an answer is none that was fast."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The bench's module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "scripts")
    return importlib.import_module("benches.dns")


@pytest.mark.parametrize(
    ("found", "failed", "lost", "expected"),
    [
        (200, 0, 0, 0.198),
        (198, 1, 0, 0.197),
        (198, 1, 1, math.inf),
        (198, 0, 2, math.inf),
        (0, 5, 0, math.inf),
        (0, 0, 0, math.inf),
    ],
    ids=["all are answered", "one fails", "one fails, one is lost", "two are lost", "all fail", "none is sent"],
)
def test_99_of_100_queries_that_are_sent_must_be_answered(
    bench: Any, found: int, failed: int, lost: int, expected: float
) -> None:
    told = [f"> NOERROR web.example. A 0.{n:03d}" for n in range(found)]
    told += ["> SERVFAIL web.example. A 0.000151"] * failed + ["> T web.example. A"] * lost
    told += ["", "  Queries sent:         " + str(found + failed + lost)]
    assert bench.p99_told("\n".join(told)) == expected
