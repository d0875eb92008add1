"""What the controller counts, under the names by which kube-controller-manager's endpoint controllers tell the same.

Names and buckets: https://kubernetes.io/docs/reference/instrumentation/metrics/.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from math import ceil

from kapi.network import EndpointSlice
from kendpoints.pack import Changes, Identity, identity, in_order

SLICES = "endpoint_slice_controller"
MIRROR = "endpoint_slice_mirroring_controller"
_BOUNDS = tuple(2**power for power in range(1, 16))


class Histogram:
    """Counts values by size."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._sum = 0

    def observe(self, value: int) -> None:
        """Count one value."""
        self._counts[bisect_left(_BOUNDS, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Give it in Prometheus' text format."""
        for bound, count in zip((*_BOUNDS, "+Inf"), accumulate(self._counts), strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f"{name}_sum {self._sum}"
        yield f"{name}_count {sum(self._counts)}"


class Metrics:
    """The counters of one controller. `limit` is the most endpoints of a slice."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._syncs: Counter[str] = Counter()
        self._changes: Counter[tuple[str, str]] = Counter()  # by controller and operation
        self._added, self._removed, self._changed = Histogram(), Histogram(), Histogram()
        self._held: dict[str, tuple[int, int, int]] = {}  # by Service: endpoints, slices, slices if packed perfectly
        self._totals = (0, 0, 0)

    def synced(self, result: str) -> None:
        """A Service's slices were looked at: with "success", "stale" (somebody else had written them) or "error"."""
        self._syncs[result] += 1

    def wrote(self, controller: str, operation: str) -> None:
        """A slice was written: "create", "update" or "delete"."""
        self._changes[controller, operation] += 1

    def planned(self, key: str, existing: Iterable[EndpointSlice], changes: Changes) -> None:
        """Note what a Service's slices become."""
        touched = {one.name for one in (*changes.update, *changes.delete)}
        known = list(existing)
        before = _identities(one for one in known if one.name in touched)
        written = (*changes.create, *changes.update)
        after = _identities(written)
        self._added.observe(len(after - before))
        self._removed.observe(len(before - after))
        self._changed.observe(len(written) + len(changes.delete))
        self._hold(key, [*(one for one in known if one.name not in touched), *written])

    def forget(self, key: str) -> None:
        """A Service is gone."""
        self._hold(key, [])
        self._held.pop(key, None)

    def text(self, gauges: Iterable[tuple[str, str, float]]) -> str:
        """Give everything in Prometheus' text format; `gauges` are further names, labels and values."""
        return "\n".join([*self._lines(), *_gauges(gauges)]) + "\n"

    def _hold(self, key: str, slices: list[EndpointSlice]) -> None:
        groups: Counter[object] = Counter()
        for one in slices:
            groups[one.family, in_order(one.ports)] += len(one.endpoints)
        perfect = sum(max(1, ceil(count / self._limit)) for count in groups.values())
        held = (groups.total(), len(slices), perfect)
        was = self._held.get(key, (0, 0, 0))
        endpoints, count, best = (total + new - old for total, new, old in zip(self._totals, held, was, strict=True))
        self._totals = (endpoints, count, best)
        self._held[key] = held

    def _lines(self) -> Iterator[str]:
        yield from _counter(f"{SLICES}_syncs", ((f'result="{name}"', n) for name, n in sorted(self._syncs.items())))
        for controller in (SLICES, MIRROR):
            found = sorted((operation, n) for (of, operation), n in self._changes.items() if of == controller)
            yield from _counter(f"{controller}_changes", ((f'operation="{name}"', n) for name, n in found))
        histograms = {"endpoints_added_per_sync": self._added, "endpoints_removed_per_sync": self._removed}
        for name, histogram in (histograms | {"endpointslices_changed_per_sync": self._changed}).items():
            yield f"# TYPE {SLICES}_{name} histogram"
            yield from histogram.lines(f"{SLICES}_{name}")
        names = ("endpoints_desired", "num_endpoint_slices", "desired_endpoint_slices")
        yield from _gauges((f"{SLICES}_{name}", "", total) for name, total in zip(names, self._totals, strict=True))


def _identities(slices: Iterable[EndpointSlice]) -> set[tuple[int, Identity]]:
    return {(one.family, identity(endpoint)) for one in slices for endpoint in one.endpoints}


def _counter(name: str, values: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield f"# TYPE {name} counter"
    for labels, value in values:
        yield f"{name}{{{labels}}} {value}"


def _gauges(gauges: Iterable[tuple[str, str, float]]) -> Iterator[str]:
    for name, labels, value in gauges:
        yield f"# TYPE {name} gauge"
        yield f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}"
