"""Who has a virtual server that several Services ask for. Pure bookkeeping: no effects, no clock.

A NodePort is at every address of the node, and so may be at a place that another Service names: an externalIP that is
the node's own address. For IPVS these are one virtual server. The Service that names the address has it, as in modes
where addresses are looked up before NodePorts; when it lets go, the NodePort answers there again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace

from kapi.network import Address, Reference
from kproxy.claims import Claims
from kproxy.model import Duties, Frontend, Place


class Division:
    """Remembers what Services ask for. `own` are the node's addresses that answer on NodePorts."""

    def __init__(self, own: Iterable[Address] = ()) -> None:
        self._own = tuple(own)
        self._claims = Claims()
        self._asked: dict[str, Duties] = {}

    def settle(self, services: Mapping[str, Duties | None]) -> dict[str, Duties]:
        """Take note of what these ask for now; gives what they have, and what others have that gain or lose by it."""
        for key, duties in services.items():
            self._asked.pop(key, None)
            if duties is not None and duties.frontends:
                self._asked[key] = spread(duties, self._own)
        settled: dict[str, Duties] = {}
        waiting = list(services)
        while waiting:
            key = waiting.pop()
            settlement = self._claims.settle(self._asked.get(key) or _nothing(key))
            settled[key] = settlement.duties
            waiting += settlement.touched
        return settled


def spread(duties: Duties, own: Iterable[Address]) -> Duties:
    """Put NodePorts at every address of the node, but where the Service itself names that place."""
    if all(frontend.place.address for frontend in duties.frontends):
        return duties
    named = {frontend.place for frontend in duties.frontends}
    own = tuple(own)
    return replace(duties, frontends=tuple(f for frontend in duties.frontends for f in _at(frontend, own, named)))


def _at(frontend: Frontend, own: Iterable[Address], named: Container[Place]) -> Iterator[Frontend]:
    if frontend.place.address:
        yield frontend
        return
    for address in own:
        place = replace(frontend.place, address=address)
        if address.version == place.family and place not in named:
            yield replace(frontend, place=place)


def _nothing(key: str) -> Duties:
    namespace, _, name = key.partition("/")
    return Duties(key, Reference("Service", namespace, name))
