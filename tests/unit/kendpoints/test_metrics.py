"""What is counted, and how Prometheus reads it."""

from __future__ import annotations

from typing import Any

import pytest

from kendpoints.endpoints import read
from kendpoints.labels import TOPOLOGY_MODE
from kendpoints.metrics import MIRROR, SLICES, Histogram, Metrics
from kendpoints.mirror import mirror, skipped
from kendpoints.slices import slices

LIMIT = 3


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(LIMIT, 1000)


def planned(build: Any, metrics: Metrics, existing: list[Any], count: int, **service: Any) -> list[Any]:
    """Bring a Service to so many pods, and count it."""
    one = build.service(**service)
    changes = slices(one, build.pods(count), build.nodes(), existing, limit=LIMIT).changes
    metrics.planned(one, existing, changes)
    return list(build.written(changes, existing))


def value(metrics: Metrics, name: str) -> float:
    """One line's value."""
    lines = dict(line.rsplit(" ", 1) for line in metrics.text([]).splitlines() if not line.startswith("#"))
    return float(lines[name])


@pytest.mark.parametrize(("count", "held"), [(0, [0, 1, 1]), (1, [1, 1, 1]), (3, [3, 1, 1]), (7, [7, 3, 3])])
def test_endpoints_and_slices_are_told_as_they_become(
    build: Any, metrics: Metrics, count: int, held: list[int]
) -> None:
    planned(build, metrics, planned(build, metrics, [], 5), count)
    names = ("endpoints_desired", "num_endpoint_slices", "desired_endpoint_slices")
    assert [value(metrics, f"{SLICES}_{name}") for name in names] == held


def test_a_service_that_is_gone_is_no_longer_counted(build: Any, metrics: Metrics) -> None:
    planned(build, metrics, [], 5)
    metrics.forget("default/web")
    assert value(metrics, f"{SLICES}_num_endpoint_slices") == 0


def test_each_sync_tells_how_many_endpoints_came_and_went_by_what_the_service_prefers(
    build: Any, metrics: Metrics
) -> None:
    planned(build, metrics, planned(build, metrics, [], 5), 2)
    assert value(metrics, f"{SLICES}_endpoints_added_per_sync_sum") == 5
    assert value(metrics, f"{SLICES}_endpoints_removed_per_sync_sum") == 3
    changed = f"{SLICES}_endpointslices_changed_per_sync_count"
    assert value(metrics, changed + '{topology="Disabled",traffic_distribution=""}') == 2
    planned(build, metrics, [], 1, annotations={TOPOLOGY_MODE: "Auto"}, traffic_distribution="PreferClose")
    assert value(metrics, changed + '{topology="Auto",traffic_distribution=""}') == 1


def test_services_are_counted_by_their_traffic_distribution(build: Any, metrics: Metrics) -> None:
    counted = f'{SLICES}_services_count_by_traffic_distribution{{traffic_distribution="PreferSameNode"}}'
    for name in ("web", "api"):
        planned(build, metrics, [], 1, name=name, traffic_distribution="PreferSameNode")
    assert value(metrics, counted) == 2
    metrics.forget("default/api")
    assert value(metrics, counted) == 1


def test_mirroring_tells_what_it_mirrors_and_what_it_skips(build: Any, metrics: Metrics) -> None:
    addresses = [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"ip": "none"}]
    endpoints = read({"metadata": {"name": "web", "uid": "e"}, "subsets": [{"addresses": addresses}]})
    service = build.service(selector=None)
    changes = mirror(service, endpoints, []).changes
    metrics.mirroring(service.key, [], changes, skipped(endpoints))
    told = (
        "num_endpoint_slices",
        "endpoints_desired",
        "endpoints_added_per_sync_sum",
        "addresses_skipped_per_sync_sum",
    )
    assert [value(metrics, f"{MIRROR}_{name}") for name in told] == [2, 2, 2, 1]
    existing = build.written(changes)
    metrics.mirroring(service.key, existing, mirror(service, None, existing).changes, skipped(None))
    assert [value(metrics, f"{MIRROR}_{name}") for name in told[:2]] == [0, 0]


def test_work_is_counted_by_what_came_of_it(metrics: Metrics) -> None:
    metrics.slices.changes["create"] += 1
    metrics.mirrored.changes["delete"] += 1
    metrics.worked("slices", 0.5, "stale")
    metrics.worked("mirror", 0.5, "success")
    assert value(metrics, 'endpoint_slice_controller_changes{operation="create"}') == 1
    assert value(metrics, 'endpoint_slice_mirroring_controller_changes{operation="delete"}') == 1
    assert value(metrics, 'endpoint_slice_controller_syncs{result="stale"}') == 1
    assert value(metrics, 'workqueue_retries_total{name="endpoint_slice"}') == 1
    assert value(metrics, 'workqueue_work_duration_seconds_count{name="endpoint_slice_mirroring"}') == 1
    assert value(metrics, "endpoint_slice_mirroring_controller_endpoints_sync_duration_count") == 1


def test_the_buckets_of_a_histogram_add_up() -> None:
    histogram = Histogram()
    for size in (0, 2, 3, 10**6):
        histogram.observe(size)
    lines = list(histogram.lines("x", 'a="b"'))
    assert lines[:2] == ['x_bucket{a="b",le="2"} 2', 'x_bucket{a="b",le="4"} 3']
    assert lines[-3:] == ['x_bucket{a="b",le="+Inf"} 4', 'x_sum{a="b"} 1e+06', 'x_count{a="b"} 4']
