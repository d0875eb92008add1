"""Gives Services their addresses and node ports, each to one Service at a time.

Whatever the stored Services hold is taken; what is being written is reserved until the write is known to have
succeeded or failed. Dynamic allocation leaves the static bands of KEP-3070 (addresses) and KEP-3668 (node ports) to
those who name their own, until the rest is full.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import chain
from typing import Any

from kapi.resources import SERVICES
from kapi.server import fields, statuses
from kapi.server.families import complete_families
from kapi.server.fields import FieldError
from kapi.server.history import Change
from kapi.server.kinds.services import EXTERNALLY_REACHED, is_headless, needs_health_port
from kapi.server.records import Record
from kapi.store import Claims

Json = dict[str, Any]
Network = IPv4Network | IPv6Network

log = logging.getLogger(__name__)

_FAMILIES = {4: "IPv4", 6: "IPv6"}
_LARGEST_RANGE = 1 << 20  # addresses used of a range; an IPv6 /64 has more than anyone needs


@dataclass(slots=True)
class Pool:
    """Numbers from 0 to `size`, of which each has one owner at most. The first `band` are given out last."""

    name: str
    size: int
    band: int
    owners: dict[int, str] = field(default_factory=dict)

    def take(self, number: int, owner: str) -> bool:
        """Take a certain number; False where another has it."""
        return self.owners.setdefault(number, owner) == owner

    def give(self, owner: str, choose: Callable[[int, int], int] = random.randint) -> int | None:
        """Take any number: outside the band, or where that is full in it; None where there is none left."""
        for low, high in ((self.band, self.size - 1), (0, self.band - 1)):
            if low > high:
                continue
            start = choose(low, high)
            for number in chain(range(start, high + 1), range(low, start)):
                if number not in self.owners:
                    self.owners[number] = owner
                    return number
        return None

    def release(self, number: int, owner: str) -> None:
        """Give a number back, if it is this owner's."""
        if self.owners.get(number) == owner:
            del self.owners[number]


def address_band(size: int) -> int:
    """Give the size of the static band of a range of addresses (KEP-3070)."""
    return min(max(16, size // 16), 256, size)


def port_band(size: int) -> int:
    """Give the size of the static band of a range of ports (KEP-3668)."""
    return min(max(16, size // 32), 128) if size >= 16 else 0


class ServiceAddresses:
    """The `Allocator` of Services. `watch` must hear of every change of a Service, `repair` of those at the start."""

    def __init__(self, ranges: tuple[Network, ...], node_ports: tuple[int, int]) -> None:
        self._ranges = {_FAMILIES[network.version]: network for network in ranges}
        self._pools = {family: _address_pool(network) for family, network in self._ranges.items()}
        self._first_port = node_ports[0]
        size = node_ports[1] - node_ports[0] + 1
        self._ports: Pool = Pool("node-port", size, port_band(size))

    def repair(self, records: Iterator[Record]) -> None:
        """Take what stored Services hold. Where two hold the same, the older keeps it, and the log names the other."""
        for record in sorted(records, key=lambda r: r.object["metadata"].get("creationTimestamp") or ""):
            for pool, number in self._held(record.object["spec"]):
                if not pool.take(number, record.key):
                    log.warning("%s holds an address or port of %s as well", record.key, pool.owners[number])

    def watch(self, change: Change) -> None:
        """Hear of a change: give back what a Service no longer holds.

        What it holds is noted here once more: a writer that was cancelled gave up a reservation that came true, and
        another server may have been quicker than a reservation of ours, which then comes to nothing.
        """
        held = [] if change.kind == "DELETED" else self._held(change.record.object["spec"])
        for pool, number in held:
            pool.owners[number] = change.record.key
        if change.previous is None:
            return
        kept = {(id(pool), number) for pool, number in held}
        for pool, number in self._held(change.previous.object["spec"]):
            if (id(pool), number) not in kept:
                pool.release(number, change.record.key)

    def allocate(self, new: Json, old: Json | None) -> Reservation:
        """See `Allocator.allocate`."""
        meta = new["metadata"]
        reservation = Reservation(f"{SERVICES.qualified}/{meta['namespace']}/{meta['name']}")
        try:
            self._complete(new, old, reservation)
        except BaseException:
            reservation.undo()
            raise
        kept = self.held(new)
        reservation.left = tuple(name for name in (self.held(old) if old else ()) if name not in kept)
        return reservation

    def held(self, obj: Json) -> tuple[str, ...]:
        """See `Allocator.held`."""
        return tuple(dict.fromkeys(_name(pool, number) for pool, number in self._held(obj["spec"])))

    def _complete(self, new: Json, old: Json | None, reservation: Reservation) -> None:
        """Fill in families, addresses and ports, and reserve them."""
        spec = new["spec"]
        errors = complete_families(spec, old["spec"] if old else None, tuple(self._ranges))
        if not errors:
            errors = self._addresses(spec, reservation) + self._node_ports(spec, reservation)
        if errors:
            raise statuses.invalid(SERVICES, new["metadata"]["name"], errors)

    def _addresses(self, spec: Json, reservation: Reservation) -> list[FieldError]:
        if spec["type"] == "ExternalName" or is_headless(spec):
            return []
        named = {_FAMILIES[ip_address(a).version]: a for a in spec.get("clusterIPs") or ()}
        found = []
        for family in spec["ipFamilies"]:
            if family not in named:
                found.append(self._any_address(family, reservation))
                continue
            error = self._this_address(named[family], family, reservation)
            if error:
                return [fields.invalid("spec.clusterIPs", [named[family]], error)]
            found.append(named[family])
        spec["clusterIP"], spec["clusterIPs"] = found[0], found
        return []

    def _any_address(self, family: str, reservation: Reservation) -> str:
        number = reservation.any(self._pools[family])
        if number is None:
            raise statuses.internal("failed to allocate a serviceIP: range is full")
        return str(self._ranges[family].network_address + 1 + number)

    def _this_address(self, address: str, family: str, reservation: Reservation) -> str:
        network = self._ranges[family]
        number = int(ip_address(address)) - int(network.network_address) - 1
        if not 0 <= number < self._pools[family].size:
            text = f"provided IP is not in the valid range. The range of valid IPs is {network}"
            return f"failed to allocate IP {address}: {text}"
        if not reservation.this(self._pools[family], number):
            return f"failed to allocate IP {address}: provided IP is already allocated"
        return ""

    def _node_ports(self, spec: Json, reservation: Reservation) -> list[FieldError]:
        wanted = spec["type"] == "NodePort" or (
            spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
        )
        ports = spec.get("ports") or [] if spec["type"] in EXTERNALLY_REACHED else []
        errors = self._named_ports(ports, reservation)
        for port in ports:
            if wanted and not port.get("nodePort"):
                port["nodePort"] = self._shared_port(port, ports) or self._any_port(reservation)
        if needs_health_port(spec):
            errors += self._health_port(spec, reservation)
        return errors

    def _named_ports(self, ports: list[Json], reservation: Reservation) -> list[FieldError]:
        return [
            error
            for index, port in enumerate(ports)
            if port.get("nodePort")
            for error in self._this_port(port["nodePort"], f"spec.ports[{index}].nodePort", reservation)
        ]

    def _shared_port(self, port: Json, ports: list[Json]) -> int:
        """TCP and UDP ports of the same number share a node port."""
        for other in ports:
            if other.get("nodePort") and other["port"] == port["port"] and other["protocol"] != port["protocol"]:
                return int(other["nodePort"])
        return 0

    def _any_port(self, reservation: Reservation) -> int:
        number = reservation.any(self._ports)
        if number is None:
            raise statuses.internal("failed to allocate a nodePort: range is full")
        return self._first_port + number

    def _this_port(self, port: int, path: str, reservation: Reservation) -> list[FieldError]:
        number = port - self._first_port
        if not 0 <= number < self._ports.size:
            last = self._first_port + self._ports.size - 1
            text = f"provided port is not in the valid range. The range of valid ports is {self._first_port}-{last}"
            return [fields.invalid(path, port, text)]
        if not reservation.this(self._ports, number):
            return [fields.invalid(path, port, "provided port is already allocated")]
        return []

    def _health_port(self, spec: Json, reservation: Reservation) -> list[FieldError]:
        if spec.get("healthCheckNodePort"):
            return self._this_port(spec["healthCheckNodePort"], "spec.healthCheckNodePort", reservation)
        spec["healthCheckNodePort"] = self._any_port(reservation)
        return []

    def _held(self, spec: Json) -> list[tuple[Pool, int]]:
        """Give the numbers that a Service holds, and where they are from."""
        owns = spec.get("type") != "ExternalName" and not is_headless(spec)
        addresses = [ip_address(text) for text in (spec.get("clusterIPs") or () if owns else ())]
        held = [
            (self._pools[family], int(address) - int(network.network_address) - 1)
            for address in addresses
            for family, network in self._ranges.items()
            if address in network
        ]
        named = [port.get("nodePort") for port in spec.get("ports") or ()] + [spec.get("healthCheckNodePort")]
        numbers = [port - self._first_port for port in named if port]
        return held + [(self._ports, number) for number in numbers if 0 <= number < self._ports.size]


class Reservation:
    """What one write of a Service has taken."""

    def __init__(self, owner: str) -> None:
        self.left: tuple[str, ...] = ()
        self._owner = owner
        self._taken: list[tuple[Pool, int]] = []

    @property
    def claims(self) -> Claims:
        """See `kapi.server.writing.Reservation`."""
        return Claims(tuple(_name(pool, number) for pool, number in self._taken), self.left)

    def any(self, pool: Pool) -> int | None:
        """Take any number of a pool."""
        number = pool.give(self._owner)
        if number is not None:
            self._taken.append((pool, number))
        return number

    def this(self, pool: Pool, number: int) -> bool:
        """Take a certain number; what the Service has already counts as taken, and is not given back by `undo`."""
        if pool.owners.get(number) == self._owner:
            return True
        taken = pool.take(number, self._owner)
        if taken:
            self._taken.append((pool, number))
        return taken

    def undo(self) -> None:
        """Give everything back: the Service was not written."""
        for pool, number in self._taken:
            pool.release(number, self._owner)
        self._taken.clear()


def _name(pool: Pool, number: int) -> str:
    return f"{pool.name}/{number}"


def _address_pool(network: Network) -> Pool:
    """Number 0 is the first address after the network's own; an IPv4 network's last address is its broadcast."""
    size = min(network.num_addresses, _LARGEST_RANGE) - (2 if network.version == 4 else 1)
    return Pool(_FAMILIES[network.version], size, address_band(size))
