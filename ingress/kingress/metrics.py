"""What is counted, and how Prometheus reads it.

The labels of requests are those of the rule, never of the URL, and go with the Ingress: the number of series is bounded
by the number of rules; how long requests took is counted by Service only, for the buckets multiply. Names follow
ingress-nginx where it counts the same. Several processes' metrics are added up (`dump`, `add`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, Final

from kingress.match import Route

_Labels = tuple[str, ...]
Values = Mapping[_Labels, float]  # by labels, each written as `name="value"`
Gauges = Mapping[str, tuple[str, Values]]  # by name: help and values

_NAMES: Final = ("namespace", "ingress", "service", "host", "path", "status")
_BY_SERVICE: Final = ("namespace", "ingress", "service")
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_MOST: Final = 256  # requests that are counted at once: not so many that others wait
_EMPTY: Final = (0.0,) * (3 + len(BOUNDS) + 1)  # how many, seconds, bytes of bodies, how many in each bucket


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.requests: dict[_Labels, list[float]] = {}  # how many, seconds, bytes of response bodies
        self.durations: dict[_Labels, list[float]] = {}  # by Service: seconds, and how many in each bucket
        self.failures: dict[_Labels, float] = {}  # attempts that endpoints did not answer, by Service
        self.upgraded = 0  # tunnels that are open now
        self._latest: list[tuple[Route | None, int, float, int]] = []  # requests since they were last gathered

    def count(self, route: Route | None, status: int, seconds: float, size: int) -> None:
        """A request was answered."""
        self._latest.append((route, status, seconds, size))
        if len(self._latest) >= _MOST:
            self.gather()

    def gather(self) -> None:
        """Add what was counted to the series with labels: many requests at once, which costs less than one by one."""
        latest, self._latest = self._latest, []
        sums: dict[tuple[Route | None, int], list[float]] = {}
        for route, status, seconds, size in latest:
            known = sums.get((route, status))
            if known is None:
                known = sums[route, status] = list(_EMPTY)
            known[0] += 1
            known[1] += seconds
            known[2] += size
            known[3 + bisect_left(BOUNDS, seconds)] += 1
        for (route, status), values in sums.items():
            labels = _labels(route, status)
            _add(self.requests, labels, values[:3])
            if route is not None:
                _add(self.durations, labels[:3], [values[1], *values[3:]])

    def fail(self, namespace: str, service: str) -> None:
        """An endpoint did not answer an attempt."""
        self.failures[namespace, service] = self.failures.get((namespace, service), 0) + 1

    def forget(self, namespace: str, ingress: str) -> None:
        """An Ingress is gone, and its series with it."""
        self.gather()
        for series in (self.requests, self.durations):
            for labels in [labels for labels in series if labels[:2] == (namespace, ingress)]:
                del series[labels]

    def dump(self) -> dict[str, Any]:
        """Give all counters as JSON values, for another process to add to its own."""
        self.gather()
        return {
            "requests": [[*labels, values] for labels, values in self.requests.items()],
            "durations": [[*labels, values] for labels, values in self.durations.items()],
            "failures": [[*labels, value] for labels, value in self.failures.items()],
        }

    def add(self, dumped: Mapping[str, Any]) -> None:
        """Add the counters of another process."""
        for *labels, values in dumped["requests"]:
            _add(self.requests, tuple(labels), values)
        for *labels, values in dumped["durations"]:
            _add(self.durations, tuple(labels), values)
        for *labels, value in dumped["failures"]:
            self.failures[tuple(labels)] = self.failures.get(tuple(labels), 0) + value

    def text(self, gauges: Gauges) -> str:
        """Give everything in Prometheus' text format."""
        self.gather()
        return "\n".join([*self._counters(), *self._histogram(), *_gauges(gauges)]) + "\n"

    def _counters(self) -> Iterator[str]:
        for index, name, told in (
            (0, "kingress_requests_total", "Requests answered."),
            (2, "kingress_response_size_bytes_sum", "Bytes of response bodies sent to clients."),
        ):
            yield from (f"# HELP {name} {told}", f"# TYPE {name} counter")
            for labels, values in self.requests.items():
                yield f"{name}{{{_written(_NAMES, labels)}}} {values[index]:.15g}"
        name = "kingress_upstream_failures_total"
        yield from (f"# HELP {name} Attempts that an endpoint did not answer.", f"# TYPE {name} counter")
        for labels, count in self.failures.items():
            yield f"{name}{{{_written(('namespace', 'service'), labels)}}} {count:.15g}"

    def _histogram(self) -> Iterator[str]:
        name = "kingress_request_duration_seconds"
        yield f"# HELP {name} Seconds from a request's head to the end of its response."
        yield f"# TYPE {name} histogram"
        for labels, (seconds, *buckets) in self.durations.items():
            written = _written(_BY_SERVICE, labels)
            totals = list(accumulate(buckets))
            for bound, total in zip((*map(str, BOUNDS), "+Inf"), totals, strict=True):
                yield f'{name}_bucket{{{written},le="{bound}"}} {total:.15g}'
            yield f"{name}_sum{{{written}}} {seconds:.15g}"
            yield f"{name}_count{{{written}}} {totals[-1]:.15g}"


def _add(series: dict[_Labels, list[float]], labels: _Labels, values: list[float]) -> None:
    known = series.get(labels)
    series[labels] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]


def _labels(route: Route | None, status: int) -> _Labels:
    if route is None:
        return "", "", "", "", "", str(status)
    about = route.ingress
    return about.namespace, about.name, route.backend.service, route.host, route.path, str(status)


def _gauges(gauges: Gauges) -> Iterator[str]:
    for name, (told, values) in gauges.items():
        yield from (f"# HELP {name} {told}", f"# TYPE {name} gauge")
        for labels, value in values.items():
            inside = ",".join(labels)
            yield f"{name}{{{inside}}} {value:.15g}" if inside else f"{name} {value:.15g}"


def _written(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(label(name, value) for name, value in zip(names, values, strict=True))


def label(name: str, value: str) -> str:
    """Write one label."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'
