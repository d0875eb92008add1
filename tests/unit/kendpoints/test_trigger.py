"""Which moment a write is attributed to."""

from __future__ import annotations

from typing import Any

import pytest

from kendpoints.trigger import Seen, attribute

CREATED, EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z", "2026-01-01T00:00:09Z"


@pytest.mark.parametrize(
    ("seen", "ready_since", "expected"),
    [
        (None, [LATE], CREATED),
        (Seen(CREATED, {}), [EARLY, LATE], EARLY),
        (Seen(CREATED, {"web-0001": EARLY}), [EARLY, LATE], LATE),
        (Seen(CREATED, {"web-0001": EARLY, "web-0002": LATE}), [EARLY, LATE], ""),
        (Seen(CREATED, {"web-0001": EARLY}), [], ""),
        (Seen("", {}), [LATE], CREATED),
    ],
    ids=["first seen", "two pods", "one of them known", "nothing new", "a pod went", "the service was made anew"],
)
def test_the_earliest_moment_not_yet_written_counts(
    build: Any, seen: Seen | None, ready_since: list[str], expected: str
) -> None:
    pods = [build.pod(number, ready_since=since) for number, since in enumerate(ready_since, 1)]
    now, moment = attribute(seen, build.service(), pods)
    assert moment == expected
    assert attribute(now, build.service(), pods)[1] == ""
