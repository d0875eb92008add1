"""The text format of Prometheus: counters, gauges and histograms as lines. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

Labels = Mapping[str, str]


def family(name: str, kind: str, told: str, series: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    """Write one metric; `kind` is counter or gauge, `told` says what it is."""
    return labelled(name, kind, told, ((labels(given), value) for given, value in series))


def labelled(name: str, kind: str, told: str, series: Iterable[tuple[str, float]]) -> Iterator[str]:
    """Write one metric whose labels are written already."""
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} {kind}"
    for given, value in series:
        yield f"{name}{given} {value:.15g}"


def labels(given: Labels) -> str:
    """Write labels; there may be none."""
    if not given:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in given.items()) + "}"


class Histogram:
    """Counts observations by size."""

    def __init__(self, name: str, told: str, bounds: Sequence[float]) -> None:
        self.name = name
        self._told = told
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        """The number of observations."""
        return sum(self._counts)

    def lines(self) -> Iterator[str]:
        """Write it."""
        yield f"# HELP {self.name} {self._told}"
        yield f"# TYPE {self.name} histogram"
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            limit = "+Inf" if bound == float("inf") else f"{bound:.15g}"
            yield f'{self.name}_bucket{{le="{limit}"}} {total}'
        yield f"{self.name}_sum {self._sum:.15g}"
        yield f"{self.name}_count {total}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
