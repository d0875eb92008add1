"""What Services ask of the host: places to listen at, and addresses that it must have. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kapi.network import Address, Protocol
from kproxy.model import Duties, Frontend

_PROTOCOLS = (Protocol.TCP, Protocol.UDP)


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """An address, a protocol and a port to listen at."""

    address: Address
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class OfOne:
    """What one Service asks for."""

    spots: Mapping[Spot, Frontend] = field(default_factory=dict)
    addresses: frozenset[Address] = frozenset()


class Asked:
    """Who asks for what. `moved` says that an address came or went since somebody last set it to False."""

    def __init__(self) -> None:
        self.own: tuple[Address, ...] = ()  # the node's addresses that answer on NodePorts
        self.moved = False
        self._of: dict[str, OfOne] = {}
        self._at: dict[Spot, dict[str, Frontend]] = {}  # by Service
        self._askers: dict[Address, set[str]] = {}

    @property
    def services(self) -> Iterable[str]:
        """The Services that ask for something."""
        return self._of.keys()

    @property
    def addresses(self) -> Iterable[Address]:
        """The addresses that the host must have."""
        return self._askers.keys()

    def of(self, keys: Iterable[str]) -> dict[str, OfOne]:
        """Give what these Services ask for, of those that do."""
        return {key: self._of[key] for key in keys if key in self._of}

    def frontend(self, spot: Spot) -> Frontend | None:
        """Give what is served at a place."""
        at = self._at.get(spot)
        return at[_holder(at)] if at else None

    def holder(self, spot: Spot) -> str:
        """Name the Service that is served at a place."""
        return _holder(self._at[spot])

    def note(self, key: str, duties: Duties | None) -> set[Spot]:
        """Take note of what a Service asks for now; returns where that may change something."""
        old, new = self._of.pop(key, OfOne()), self._ask(duties) if duties else OfOne()
        for spot in old.spots.keys() - new.spots.keys():
            del self._at[spot][key]
            if not self._at[spot]:
                del self._at[spot]
        for spot, frontend in new.spots.items():
            self._at.setdefault(spot, {})[key] = frontend
        for address in old.addresses - new.addresses:
            self._askers[address].discard(key)
            if not self._askers[address]:
                del self._askers[address]
                self.moved = True
        for address in new.addresses:
            self.moved |= address not in self._askers
            self._askers.setdefault(address, set()).add(key)
        if new.spots or new.addresses:
            self._of[key] = new
        return {*old.spots, *new.spots}

    def _ask(self, duties: Duties) -> OfOne:
        named = (f.place.address for f in duties.frontends if f.place.address)
        wanted = frozenset(a for a in (*named, *duties.cluster_ips) if not a.is_loopback)
        return OfOne(dict(self._places(duties)), wanted)

    def _places(self, duties: Duties) -> Iterator[tuple[Spot, Frontend]]:
        for frontend in sorted(duties.frontends, key=_named):  # NodePorts first: what comes later has the place
            place = frontend.place
            for address in self.own if place.address is None else (place.address,):
                if address.version == place.family and place.protocol in _PROTOCOLS:
                    yield Spot(address, str(place.protocol), place.port), frontend


def _named(frontend: Frontend) -> bool:
    """Whether the Service names the address; a NodePort answers where nobody does."""
    return frontend.place.address is not None


def _holder(at: Mapping[str, Frontend]) -> str:
    """Give who has a place, of those that ask for it: the first that names its address, else the last that asked."""
    return next((key for key, frontend in at.items() if _named(frontend)), list(at)[-1])
