"""How often the API server was called, how that ended, and how long its word took. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kdns.histogram import Histogram, Labels, braced

_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)  # seconds: client-go's buckets
_NAME = "coredns_kubernetes_rest_client_request"


class Calls:
    """The calls of one API server; `host` is it as metrics name it."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._ended: Counter[tuple[str, str]] = Counter()  # method, HTTP status
        self._seconds: dict[str, Histogram] = {}

    def note(self, method: str, status: int, seconds: float) -> None:
        """Count a call; a status of 0 is one without any: no connection, or one that ended."""
        self._ended[method, str(status) if status else "<error>"] += 1
        self._seconds.setdefault(method, Histogram(_BUCKETS)).observe(seconds)

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Give (name, kind, line) of the numbers."""
        labels: Labels
        for (method, code), count in self._ended.items():
            labels = (("code", code), ("host", self._host), ("method", method))
            yield f"{_NAME}s_total", "counter", f"{_NAME}s_total{braced(labels)} {count}"
        name = f"{_NAME}_duration_seconds"
        for method, histogram in self._seconds.items():
            labels = (("host", self._host), ("verb", method))
            yield from ((name, "histogram", line) for line in histogram.lines(name, labels))
