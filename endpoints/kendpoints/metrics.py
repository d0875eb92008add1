"""What the controllers count, under the names by which kube-controller-manager's endpoint controllers tell the same.

Names, labels and buckets: https://kubernetes.io/docs/reference/instrumentation/metrics/.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from math import ceil
from operator import mul

from kapi.network import EndpointSlice, Service
from kendpoints.hints import distribution, proportional
from kendpoints.pack import Changes, Identity, identity, in_order

SLICES = "endpoint_slice_controller"
MIRROR = "endpoint_slice_mirroring_controller"
QUEUES = {"slices": "endpoint_slice", "endpoints": "endpoint", "mirror": "endpoint_slice_mirroring"}  # by part


def _growing(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Give bounds each of which is the one before, multiplied: rounded at each step, as the released ones are."""
    return tuple(accumulate(repeat(factor, count - 1), mul, initial=first))


_SIZES = _growing(2.0, 2.0, 15)
_OF_ANYTHING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # Prometheus' own
_MIRROR_SECONDS = _growing(0.001, 2.0, 15)
_WORK_SECONDS = _growing(1e-8, 10.0, 10)


class Histogram:
    """Counts values by size."""

    def __init__(self, bounds: tuple[float, ...] = _SIZES) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """Give it in Prometheus' text format."""
        before, of = (f"{labels},", f"{{{labels}}}") if labels else ("", "")
        bounds = (*(str(bound).removesuffix(".0") for bound in self._bounds), "+Inf")
        for bound, count in zip(bounds, accumulate(self._counts), strict=True):
            yield f'{name}_bucket{{{before}le="{bound}"}} {count}'
        yield f"{name}_sum{of} {self._sum:g}"
        yield f"{name}_count{of} {sum(self._counts)}"


@dataclass(slots=True)
class Counted:
    """The slices of one controller: what became of them, and what there is. `limit` is the most endpoints of one."""

    limit: int
    changes: Counter[str] = field(default_factory=Counter)  # writes by operation: create, update, delete
    added: Histogram = field(default_factory=Histogram)
    removed: Histogram = field(default_factory=Histogram)
    updated: Histogram = field(default_factory=Histogram)
    totals: tuple[int, int, int] = (0, 0, 0)  # endpoints, slices, slices if packed perfectly
    _held: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # the same of each Service

    def planned(self, key: str, existing: Iterable[EndpointSlice], changes: Changes) -> None:
        """Note what a Service's slices become."""
        touched = {one.name for one in (*changes.update, *changes.delete)}
        known = list(existing)
        written = (*changes.create, *changes.update)
        before = _identities(one for one in known if one.name in touched)
        after = _identities(written)
        self.added.observe(len(after - before))
        self.removed.observe(len(before - after))
        self.updated.observe(len(after & before))
        self._hold(key, [*(one for one in known if one.name not in touched), *written])

    def forget(self, key: str) -> None:
        """A Service is gone."""
        self._hold(key, [])

    def gauges(self) -> Iterator[tuple[str, float]]:
        """Give what there is."""
        names = ("endpoints_desired", "num_endpoint_slices", "desired_endpoint_slices")
        return zip(names, self.totals, strict=True)

    def _hold(self, key: str, slices: list[EndpointSlice]) -> None:
        groups: Counter[object] = Counter()
        for one in slices:
            groups[one.family, in_order(one.ports)] += len(one.endpoints)
        perfect = sum(max(1, ceil(count / self.limit)) for count in groups.values())
        held = (groups.total(), len(slices), perfect)
        was = self._held.get(key, (0, 0, 0))
        endpoints, count, best = (total + new - old for total, new, old in zip(self.totals, held, was, strict=True))
        self.totals = (endpoints, count, best)
        self._held[key] = held
        if not slices:
            del self._held[key]


class Metrics:
    """The counters of one process."""

    def __init__(self, limit: int, most_mirrored: int) -> None:
        self.slices, self.mirrored = Counted(limit), Counted(most_mirrored)
        self._syncs: Counter[str] = Counter()
        self._changed: dict[str, Histogram] = {}  # slices written by a look, by what the Service prefers
        self._distributions: dict[str, str] = {}  # of the Services that have one
        self._skipped = Histogram()
        self._mirroring = Histogram(_MIRROR_SECONDS)
        self._working: dict[str, Histogram] = {part: Histogram(_WORK_SECONDS) for part in QUEUES}
        self._retries: Counter[str] = Counter()

    def worked(self, part: str, seconds: float, result: str) -> None:
        """A part of a Service was looked at: with "success", "stale" (somebody else had written) or "error"."""
        self._working[part].observe(seconds)
        self._retries[part] += result != "success"
        if part == "slices":
            self._syncs[result] += 1
        if part == "mirror":
            self._mirroring.observe(seconds)

    def planned(self, service: Service, existing: Iterable[EndpointSlice], changes: Changes) -> None:
        """Note what a Service's slices become."""
        self.slices.planned(service.key, existing, changes)
        preferred = distribution(service)
        topology = "Auto" if proportional(service) else "Disabled"
        labels = f'topology="{topology}",traffic_distribution="{preferred}"'
        changed = self._changed.setdefault(labels, Histogram(_OF_ANYTHING))
        changed.observe(len(changes.create) + len(changes.update) + len(changes.delete))
        self._distributions.pop(service.key, None)
        if service.traffic_distribution:
            self._distributions[service.key] = service.traffic_distribution

    def mirroring(self, key: str, existing: Iterable[EndpointSlice], changes: Changes, skipped: int) -> None:
        """Note what a Service's mirrored slices become, and how many addresses are not mirrored."""
        self.mirrored.planned(key, existing, changes)
        self._skipped.observe(skipped)

    def forget(self, key: str) -> None:
        """A Service is gone."""
        self.slices.forget(key)
        self._distributions.pop(key, None)

    def text(self, gauges: Iterable[tuple[str, str, float]]) -> str:
        """Give everything in Prometheus' text format; `gauges` are further names, labels and values."""
        return "\n".join([*self._of_slices(), *self._of_mirrored(), *self._of_queues(), *_gauges(gauges)]) + "\n"

    def _of_slices(self) -> Iterator[str]:
        yield from _counter(f"{SLICES}_syncs", {f'result="{name}"': n for name, n in self._syncs.items()})
        yield from _counted(SLICES, self.slices)
        yield from _histogram(f"{SLICES}_endpointslices_changed_per_sync", self._changed)
        by_distribution = Counter(self._distributions.values())
        name = f"{SLICES}_services_count_by_traffic_distribution"
        yield from _gauges((name, f'traffic_distribution="{of}"', n) for of, n in sorted(by_distribution.items()))

    def _of_mirrored(self) -> Iterator[str]:
        yield from _counted(MIRROR, self.mirrored)
        yield from _histogram(f"{MIRROR}_endpoints_updated_per_sync", {"": self.mirrored.updated})
        yield from _histogram(f"{MIRROR}_addresses_skipped_per_sync", {"": self._skipped})
        yield from _histogram(f"{MIRROR}_endpoints_sync_duration", {"": self._mirroring})

    def _of_queues(self) -> Iterator[str]:
        yield from _counter("workqueue_retries_total", {_queue(part): self._retries[part] for part in QUEUES})
        yield from _histogram("workqueue_work_duration_seconds", {_queue(p): h for p, h in self._working.items()})


def _queue(part: str) -> str:
    return f'name="{QUEUES[part]}"'


def _identities(slices: Iterable[EndpointSlice]) -> set[tuple[int, Identity]]:
    return {(one.family, identity(endpoint)) for one in slices for endpoint in one.endpoints}


def _counted(prefix: str, counted: Counted) -> Iterator[str]:
    yield from _counter(f"{prefix}_changes", {f'operation="{name}"': n for name, n in counted.changes.items()})
    yield from _histogram(f"{prefix}_endpoints_added_per_sync", {"": counted.added})
    yield from _histogram(f"{prefix}_endpoints_removed_per_sync", {"": counted.removed})
    yield from _gauges((f"{prefix}_{name}", "", value) for name, value in counted.gauges())


def _counter(name: str, values: dict[str, int]) -> Iterator[str]:
    yield f"# TYPE {name} counter"
    for labels, value in sorted(values.items()):
        yield f"{name}{{{labels}}} {value}"


def _histogram(name: str, by_labels: dict[str, Histogram]) -> Iterator[str]:
    yield f"# TYPE {name} histogram"
    for labels, histogram in sorted(by_labels.items()):
        yield from histogram.lines(name, labels)


def _gauges(gauges: Iterable[tuple[str, str, float]]) -> Iterator[str]:
    """Give gauges, those of one name beside each other."""
    told = ""
    for name, labels, value in gauges:
        if name != told:
            yield f"# TYPE {name} gauge"
            told = name
        yield f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}"
