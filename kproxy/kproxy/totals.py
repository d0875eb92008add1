"""Running totals of traffic: what they say only grows, though the kernel forgets and places change hands. Pure.

The kernel counts by place and endpoint, and forgets an element that has been idle; a total of a Service port must not
fall when it does, or Prometheus takes it for a restart and adds all that is left once more. So each reading adds what
an element has gained since the one before. What an element held before its place came to this Service port was
somebody else's, and is nobody's now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from kproxy.exposition import family as metric
from kproxy.model import Counted, Place, Target

Element = tuple[Place, Target, str]
Labels = tuple[tuple[str, str], ...]


class Amount(NamedTuple):
    """Packets, and their bytes."""

    packets: int = 0
    bytes: int = 0

    def plus(self, other: Amount) -> Amount:
        """Add."""
        return Amount(self.packets + other.packets, self.bytes + other.bytes)

    def since(self, before: Amount) -> Amount:
        """Say what came on top; an element that has less than before was forgotten, and began anew."""
        if self.packets < before.packets or self.bytes < before.bytes:
            return self
        return Amount(self.packets - before.packets, self.bytes - before.bytes)


class Owners:
    """Which Service port each place belongs to."""

    def __init__(self) -> None:
        self.origins: dict[Place, str] = {}
        self.changed: set[Place] = set()  # that somebody had and lost; whoever reads the counters takes them out
        self._of: dict[str, Mapping[Place, str]] = {}

    def put(self, key: str, mine: Mapping[Place, str]) -> None:
        """Note the places of a Service, each with the port it is for."""
        for place, origin in self._of.pop(key, {}).items():
            if mine.get(place) != origin:
                self.changed.add(place)
                if self.origins.get(place) == origin:  # another Service may have it by now
                    del self.origins[place]
        if mine:
            self._of[key] = mine
            self.origins |= mine

    def keep(self, keys: Container[str]) -> None:
        """Forget all other Services."""
        for key in [key for key in self._of if key not in keys]:
            self.put(key, {})


class Totals:
    """Adds up what is read."""

    def __init__(self) -> None:
        self._seen: dict[Element, tuple[str | None, Amount]] = {}  # as last read, and whose it was
        self._services: dict[Labels, Amount] = {}
        self._endpoints: dict[Labels, Amount] = {}

    def take(self, counted: Iterable[Counted], origins: Mapping[Place, str], changed: Container[Place]) -> None:
        """Add a reading of all elements. `changed` are places that have left a Service port since the one before."""
        seen: dict[Element, tuple[str | None, Amount]] = {}
        gains: defaultdict[Labels, Amount] = defaultdict(Amount)
        for one in counted:
            element = (one.called, one.endpoint, one.direction)
            place = one.called if one.called in origins else _of_node(one.called)
            origin, now = origins.get(place), Amount(one.packets, one.bytes)
            seen[element] = (origin, now)
            if origin is not None:
                whose, before = self._seen.get(element, (None if place in changed else origin, Amount()))
                gained = now.since(before) if whose == origin else Amount()
                labels = (*_labels(origin, one), ("endpoint", str(one.endpoint)))
                gains[labels] = gains[labels].plus(gained)
        self._seen, last = seen, self._seen
        _let_go(last)
        self._add(gains, set(origins.values()))

    def lines(self, *, endpoints: bool) -> Iterator[str]:
        """Write them for Prometheus, those of Services and, if wanted, those of endpoints."""
        yield from _written("service", self._services)
        if endpoints:
            yield from _written("endpoint", self._endpoints)

    def _add(self, gains: Mapping[Labels, Amount], origins: Container[str]) -> None:
        """Services keep their totals for as long as they live, endpoints until the kernel has forgotten them."""
        services = {labels: amount for labels, amount in self._services.items() if _origin(labels) in origins}
        for (*shared, _), gained in gains.items():
            labels = tuple(shared)
            services[labels] = services.get(labels, Amount()).plus(gained)
        self._services = services
        self._endpoints = {k: self._endpoints.get(k, Amount()).plus(gained) for k, gained in gains.items()}


def _let_go(many: dict[Element, tuple[str | None, Amount]]) -> None:
    """Free what was seen, a little at a time: all at once would hold up other threads."""
    while many:
        many.popitem()


def _of_node(called: Place) -> Place:
    """Give the NodePort that a place may be reached by."""
    return Place(called.family, None, called.protocol, called.port)


def _written(whose: str, totals: Mapping[Labels, Amount]) -> Iterator[str]:
    rows = [(dict(labels), amount) for labels, amount in totals.items()]  # sorting many would hold up other threads
    for unit, values in (
        ("packets", [(labels, float(amount.packets)) for labels, amount in rows]),
        ("bytes", [(labels, float(amount.bytes)) for labels, amount in rows]),
    ):
        told = f"{unit.capitalize()} of connections through a Service, by {whose}: to endpoints (in), and back (out)."
        yield from metric(f"kproxy_{whose}_{unit}_total", "counter", told, values)


def _labels(origin: str, counted: Counted) -> Labels:
    namespace, _, rest = origin.partition("/")
    service, _, port = rest.partition(":")
    return (
        ("namespace", namespace),
        ("service", service),
        ("port", port),
        ("protocol", str(counted.called.protocol)),
        ("direction", counted.direction),
    )


def _origin(labels: Labels) -> str:
    """Give the Service port back that `_labels` took apart."""
    (_, namespace), (_, service), (_, port), *_rest = labels
    return f"{namespace}/{service}:{port}"
