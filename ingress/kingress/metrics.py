"""What is counted, and how Prometheus reads it.

The labels of requests are those of the rule, never of the URL, and go with the Ingress: the number of series is bounded
by the number of rules. Names follow ingress-nginx where it counts the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kingress.match import Route

_Labels = tuple[str, str, str, str, str, str]  # namespace, ingress, service, host, path, status
_NAMES = ("namespace", "ingress", "service", "host", "path", "status")


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.requests: dict[_Labels, list[float]] = {}  # how many, seconds, bytes of response bodies
        self._latest: dict[tuple[Route | None, int], list[float]] = {}  # the same, since they were last gathered
        self.failures: dict[tuple[str, str], int] = {}  # attempts that endpoints did not answer, by Service
        self.upgraded = 0  # tunnels that are open now

    def count(self, route: Route | None, status: int, seconds: float, size: int) -> None:
        """A request was answered."""
        known = self._latest.get((route, status))
        if known is None:
            known = self._latest[route, status] = [0, 0.0, 0]
        known[0] += 1
        known[1] += seconds
        known[2] += size

    def gather(self) -> None:
        """Add what was counted to the series with labels: often enough that no route of the past is kept long."""
        latest, self._latest = self._latest, {}
        for (route, status), values in latest.items():
            series = self.requests.setdefault(_labels(route, status), [0, 0.0, 0])
            series[:] = [before + more for before, more in zip(series, values, strict=True)]

    def fail(self, namespace: str, service: str) -> None:
        """An endpoint did not answer an attempt."""
        self.failures[namespace, service] = self.failures.get((namespace, service), 0) + 1

    def forget(self, namespace: str, ingress: str) -> None:
        """An Ingress is gone, and its series with it."""
        self.gather()
        for labels in [labels for labels in self.requests if labels[:2] == (namespace, ingress)]:
            del self.requests[labels]

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Give everything in Prometheus' text format; `gauges` maps further names to a help text and a value."""
        self.gather()
        return "\n".join([*self._counters(), *_gauges(gauges)]) + "\n"

    def _counters(self) -> Iterator[str]:
        for index, (name, told) in enumerate(
            (
                ("kingress_requests_total", "Requests answered."),
                ("kingress_request_duration_seconds_sum", "Seconds from a request's head to the end of its response."),
                ("kingress_response_size_bytes_sum", "Bytes of response bodies sent to clients."),
            )
        ):
            yield from (f"# HELP {name} {told}", f"# TYPE {name} counter")
            for labels, values in self.requests.items():
                yield f"{name}{{{_written(_NAMES, labels)}}} {values[index]:.15g}"
        name = "kingress_upstream_failures_total"
        yield from (f"# HELP {name} Attempts that an endpoint did not answer.", f"# TYPE {name} counter")
        for (namespace, service), count in self.failures.items():
            yield f"{name}{{{_written(('namespace', 'service'), (namespace, service))}}} {count}"


def _labels(route: Route | None, status: int) -> _Labels:
    if route is None:
        return "", "", "", "", "", str(status)
    about = route.ingress
    return about.namespace, about.name, route.backend.service, route.host, route.path, str(status)


def _gauges(gauges: Mapping[str, tuple[str, float]]) -> Iterator[str]:
    for name, (told, value) in gauges.items():
        yield from (f"# HELP {name} {told}", f"# TYPE {name} gauge", f"{name} {value:.15g}")


def _written(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
