"""What is counted, and how Prometheus reads it."""

from __future__ import annotations

from typing import Any

import pytest

from kendpoints.metrics import MIRROR, SLICES, Histogram, Metrics
from kendpoints.slices import slices

LIMIT = 3


def planned(build: Any, metrics: Metrics, existing: list[Any], count: int) -> list[Any]:
    """Bring a Service to so many pods, and count it."""
    changes = slices(build.service(), build.pods(count), build.nodes(), existing, limit=LIMIT).changes
    metrics.planned("default/web", existing, changes)
    return list(build.written(changes, existing))


def value(metrics: Metrics, name: str) -> float:
    """One line's value."""
    lines = dict(line.rsplit(" ", 1) for line in metrics.text([]).splitlines() if not line.startswith("#"))
    return float(lines[name])


@pytest.mark.parametrize(
    ("count", "endpoints", "held", "perfect"), [(0, 0, 1, 1), (1, 1, 1, 1), (3, 3, 1, 1), (7, 7, 3, 3)]
)
def test_endpoints_and_slices_are_told_as_they_become(
    build: Any, count: int, endpoints: int, held: int, perfect: int
) -> None:
    metrics = Metrics(LIMIT)
    planned(build, metrics, planned(build, metrics, [], 5), count)
    names = ("endpoints_desired", "num_endpoint_slices", "desired_endpoint_slices")
    assert [value(metrics, f"{SLICES}_{name}") for name in names] == [endpoints, held, perfect]


def test_a_service_that_is_gone_is_no_longer_counted(build: Any) -> None:
    metrics = Metrics(LIMIT)
    planned(build, metrics, [], 5)
    metrics.forget("default/web")
    assert value(metrics, f"{SLICES}_num_endpoint_slices") == 0


def test_each_sync_tells_how_many_endpoints_came_and_went(build: Any) -> None:
    metrics = Metrics(LIMIT)
    planned(build, metrics, planned(build, metrics, [], 5), 2)
    assert value(metrics, f"{SLICES}_endpoints_added_per_sync_sum") == 5
    assert value(metrics, f"{SLICES}_endpoints_removed_per_sync_sum") == 3
    assert value(metrics, f"{SLICES}_endpointslices_changed_per_sync_count") == 2


def test_writes_are_counted_by_controller_and_operation() -> None:
    metrics = Metrics(LIMIT)
    metrics.wrote(SLICES, "create")
    metrics.wrote(MIRROR, "delete")
    metrics.synced("stale")
    assert value(metrics, 'endpoint_slice_controller_changes{operation="create"}') == 1
    assert value(metrics, 'endpoint_slice_mirroring_controller_changes{operation="delete"}') == 1
    assert value(metrics, 'endpoint_slice_controller_syncs{result="stale"}') == 1


def test_the_buckets_of_a_histogram_add_up() -> None:
    histogram = Histogram()
    for size in (0, 2, 3, 10**6):
        histogram.observe(size)
    lines = list(histogram.lines("x"))
    assert lines[:2] == ['x_bucket{le="2"} 2', 'x_bucket{le="4"} 3']
    assert lines[-3:] == ['x_bucket{le="+Inf"} 4', f"x_sum {10**6 + 5}", "x_count 4"]
