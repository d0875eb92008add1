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

from kproxy.exposition import labelled, labels
from kproxy.model import Counted, Place, Target

Element = tuple[Place, Target, str]


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


class _Seen(NamedTuple):
    """An element as it was last read: whose it was, and the labels of that Service port and of the endpoint."""

    origin: str | None
    amount: Amount
    service: str = ""
    endpoint: str = ""


class Totals:
    """Adds up what is read."""

    def __init__(self) -> None:
        self._seen: dict[Element, _Seen] = {}
        self._services: dict[str, Amount] = {}  # by their labels
        self._origins: dict[str, str] = {}  # the Service ports that these are of
        self._endpoints: dict[str, Amount] = {}

    def take(self, counted: Iterable[Counted], origins: Mapping[Place, str], changed: Container[Place]) -> None:
        """Add a reading of all elements. `changed` are places that have left a Service port since the one before."""
        seen: dict[Element, _Seen] = {}
        services: defaultdict[str, Amount] = defaultdict(Amount)
        endpoints: defaultdict[str, Amount] = defaultdict(Amount)
        for one in counted:
            element = (one.called, one.endpoint, one.direction)
            place = one.called if one.called in origins else _of_node(one.called)
            origin, now = origins.get(place), Amount(one.packets, one.bytes)
            if origin is None:
                seen[element] = _Seen(None, now)
                continue
            before = self._seen.get(element)
            if before is not None and before.origin == origin:
                gained, service, endpoint = now.since(before.amount), before.service, before.endpoint
            else:
                gained = Amount() if before or place in changed else now
                service, endpoint = _labels(origin, one)
                self._origins[service] = origin
            seen[element] = _Seen(origin, now, service, endpoint)
            services[service] = services[service].plus(gained)
            endpoints[endpoint] = endpoints[endpoint].plus(gained)
        self._seen, last = seen, self._seen
        _let_go(last)
        self._add(services, endpoints, set(origins.values()))

    def lines(self, *, endpoints: bool) -> Iterator[str]:
        """Write them for Prometheus, those of Services and, if wanted, those of endpoints."""
        yield from _written("service", self._services)
        if endpoints:
            yield from _written("endpoint", self._endpoints)

    def _add(self, services: Mapping[str, Amount], endpoints: Mapping[str, Amount], origins: Container[str]) -> None:
        """Services keep their totals for as long as they live, endpoints until the kernel has forgotten them."""
        self._origins = {labels: origin for labels, origin in self._origins.items() if origin in origins}
        totals = {labels: self._services.get(labels, Amount()) for labels in self._origins}
        self._services = totals | {labels: totals[labels].plus(gained) for labels, gained in services.items()}
        self._endpoints = {k: self._endpoints.get(k, Amount()).plus(gained) for k, gained in endpoints.items()}


def _let_go(many: dict[Element, _Seen]) -> None:
    """Free what was seen, a little at a time: all at once would hold up other threads."""
    while many:
        many.popitem()


def _of_node(called: Place) -> Place:
    """Give the NodePort that a place may be reached by."""
    return Place(called.family, None, called.protocol, called.port)


def _written(whose: str, totals: Mapping[str, Amount]) -> Iterator[str]:
    for unit, position in (("packets", 0), ("bytes", 1)):
        told = f"{unit.capitalize()} of connections through a Service, by {whose}: to endpoints (in), and back (out)."
        series = ((labels, float(amount[position])) for labels, amount in totals.items())
        yield from labelled(f"kproxy_{whose}_{unit}_total", "counter", told, series)


def _labels(origin: str, counted: Counted) -> tuple[str, str]:
    """Write the labels of a Service port, and those of one of its endpoints."""
    namespace, _, rest = origin.partition("/")
    service, _, port = rest.partition(":")
    shared = {
        "namespace": namespace,
        "service": service,
        "port": port,
        "protocol": str(counted.called.protocol),
        "direction": counted.direction,
    }
    return labels(shared), labels({**shared, "endpoint": str(counted.endpoint)})
