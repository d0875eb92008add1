from __future__ import annotations

import json

from kapi.network import Reference
from kingress.match import Route
from kingress.metrics import Metrics
from kingress.objects import BackendRef, PathType


def route(ingress: str = "web", path: str = "/") -> Route:
    about = Reference("Ingress", "shop", ingress)
    return Route(BackendRef("shop", "web", 80), "a.example", path, PathType.PREFIX, about, "f")


def test_requests_are_counted_by_rule_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 503):
        metrics.count(route(), status, 0.5, 10)
    metrics.fail("shop", "web")
    text = metrics.text({"kingress_hosts": ("Hosts.", {(): 3})})
    labels = 'namespace="shop",ingress="web",service="web",host="a.example",path="/",status="200"'
    assert f"kingress_requests_total{{{labels}}} 2\n" in text
    by_service = 'namespace="shop",ingress="web",service="web"'
    assert f'kingress_request_duration_seconds_bucket{{{by_service},le="0.25"}} 0\n' in text
    assert f'kingress_request_duration_seconds_bucket{{{by_service},le="0.5"}} 3\n' in text
    assert f'kingress_request_duration_seconds_bucket{{{by_service},le="+Inf"}} 3\n' in text
    assert f"kingress_request_duration_seconds_sum{{{by_service}}} 1.5\n" in text
    assert f"kingress_request_duration_seconds_count{{{by_service}}} 3\n" in text
    assert f"kingress_response_size_bytes_sum{{{labels}}} 20\n" in text
    assert 'kingress_upstream_failures_total{namespace="shop",service="web"} 1\n' in text
    assert "# TYPE kingress_hosts gauge\nkingress_hosts 3\n" in text


def test_a_large_count_is_written_in_full() -> None:
    metrics = Metrics()
    metrics.count(route(), 200, 0.0, 123_456_789)
    assert "} 123456789\n" in metrics.text({})


def test_series_go_with_their_ingress() -> None:
    metrics = Metrics()
    metrics.count(route("web"), 200, 0.1, 1)
    metrics.count(route("other"), 200, 0.1, 1)
    metrics.forget("shop", "web")
    assert [labels[1] for labels in metrics.requests] == ["other"]


def test_a_label_is_escaped() -> None:
    metrics = Metrics()
    metrics.count(route(path='/a"b\\'), 200, 0.1, 1)
    assert 'path="/a\\"b\\\\"' in metrics.text({})


def test_what_several_processes_counted_is_added_up() -> None:
    one, other, total = Metrics(), Metrics(), Metrics()
    for metrics in (one, other, other):
        metrics.count(route(), 200, 0.1, 7)
        metrics.fail("shop", "web")
    for metrics in (one, other):
        total.add(json.loads(json.dumps(metrics.dump())))
    text = total.text({})
    assert 'path="/",status="200"} 3\n' in text
    assert 'kingress_request_duration_seconds_count{namespace="shop",ingress="web",service="web"} 3\n' in text
    assert 'kingress_upstream_failures_total{namespace="shop",service="web"} 3\n' in text
