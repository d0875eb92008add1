"""Histograms as Prometheus has them, and the text format's labels. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

SECONDS = tuple(0.00025 * 2**n for n in range(16))  # CoreDNS' buckets for how long a reply takes

Labels = tuple[tuple[str, str], ...]


@dataclass
class Histogram:
    """How often a value was in which bucket, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value that occurred so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        """Give the lines of the text format."""
        seen = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            seen += count
            yield f"{name}_bucket{braced((*labels, ('le', str(bound))))} {seen}"
        yield f"{name}_sum{braced(labels)} {self.total:g}"
        yield f"{name}_count{braced(labels)} {seen}"


def braced(labels: Labels) -> str:
    """Give labels as they stand behind a name; nothing where there are none."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
