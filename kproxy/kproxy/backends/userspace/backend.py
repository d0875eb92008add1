"""The userspace backend put together: gives the host the addresses of Services, listens there, and forwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from kapi import component
from kapi.network import Address, Protocol
from kproxy.backends import addresses
from kproxy.backends.userspace import tcp, udp
from kproxy.backends.userspace.choose import Turns, allowed, pool_for
from kproxy.errors import CommitFailed
from kproxy.host import Host, ThisHost
from kproxy.model import Duties, Frontend, NodeDuties, Target
from kproxy.rules.evaluate import Ending, Outcome, Packet, Possibility
from kproxy.rules.model import Ruleset

DEVICE = "lo"
_BACKLOG = 4096
_KINDS = {Protocol.TCP: socket.SOCK_STREAM, Protocol.UDP: socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """An address, a protocol and a port to listen at."""

    address: Address
    protocol: str
    port: int


class Userspace:
    """See `kproxy.backends.Backend`. What it carries ends with it; the endpoint sees this node's address, always."""

    name: ClassVar[str] = "userspace"
    tracked: ClassVar[bool] = False

    def __init__(self, host: Host | None) -> None:
        self._host: Host = host or ThisHost()
        self.host: Host | None = self._host
        self._node = NodeDuties()
        self._own: tuple[Address, ...] = ()
        self._services: dict[str, Duties] = {}
        self._spots: dict[Spot, Frontend] = {}
        self._listeners: dict[Spot, tcp.Listener | udp.Listener] = {}
        self._leaving: list[tcp.Listener] = []  # their connections live on
        self._turns: dict[tuple[str, str], Turns] = {}
        self._given: set[Address] = set()  # to the device, by us
        self._wanted: set[Address] = set()
        self._without: set[Address] = set()  # wanted, and not to be had

    def missing(self) -> str | None:
        """Nothing is needed; what cannot be bound is told for each Service."""
        return None

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """See `Backend.resync`."""
        component.allow_files()
        self._node, self._services, self._wanted = node, dict(services), set()
        self._own = addresses.answering(self._host, DEVICE, node.node_port_networks)
        return await self._settle()

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """See `Backend.commit`."""
        for key, duties in services.items():
            self._services.pop(key, None)
            if duties is not None:
                self._services[key] = duties
        return await self._settle()

    async def drifted(self) -> bool:
        """See `Backend.drifted`: only the addresses can be taken away by somebody else."""
        there = (await asyncio.to_thread(addresses.addresses, self._host, DEVICE))[True]
        return not self._given <= there

    def ruleset(self) -> Ruleset:
        """There are no rules."""
        return Ruleset(())

    def evaluate(self, packet: Packet) -> Outcome:
        """See `Backend.evaluate`."""
        spot = Spot(packet.destination, packet.protocol.upper(), packet.port)
        frontend = self._spots.get(spot)
        if frontend is None:
            return Outcome((_alone(packet, Ending.UNTOUCHED),))
        if not allowed(frontend, packet.source):
            return Outcome((_alone(packet, Ending.REJECT),))
        pool = pool_for(frontend, packet.source, self._node, packet.own)
        if not pool:
            return Outcome((_alone(packet, Ending.REJECT),))
        share = Fraction(1, len(pool))
        ends = (Possibility(Ending.ENDPOINT, share, t.address, t.port, True, ()) for t in pool)
        return Outcome(tuple(ends))

    async def clear(self) -> None:
        """See `Backend.clear`."""
        self.close()

    def close(self) -> None:
        """End everything, and take the addresses back: nobody would answer there."""
        for listener in (*self._listeners.values(), *self._leaving):
            listener.close()
        self._listeners, self._leaving, self._spots = {}, [], {}
        if self._given:
            with contextlib.suppress(CommitFailed):
                addresses.change(self._host, DEVICE, (), self._given)
        self._given = set()

    async def _settle(self) -> dict[str, str]:
        """Listen at every place: without endpoints too, lest a server of the host answers there."""
        wanted = {spot: (duties.key, f) for duties in self._services.values() for spot, f in self._places(duties)}
        causes = await asyncio.to_thread(self._give)
        self._spots = {spot: frontend for spot, (_, frontend) in wanted.items()}
        for spot in self._listeners.keys() - self._spots.keys():
            self._leave(self._listeners.pop(spot))
        for spot, frontend in self._spots.items():
            listener = self._listeners.get(spot)
            if isinstance(listener, udp.Listener):
                listener.keep((*frontend.pool, *(frontend.outside or ())))
            elif listener is None:
                try:
                    self._listeners[spot] = self._listen(spot)
                except OSError as error:
                    key = wanted[spot][0]
                    why = f"cannot listen at {spot.address} port {spot.port}/{spot.protocol}: {error.strerror or error}"
                    causes[key] = f"{causes[key]}; {why}" if key in causes else why
        return causes

    def _places(self, duties: Duties) -> Iterator[tuple[Spot, Frontend]]:
        for frontend in duties.frontends:
            place = frontend.place
            for address in self._own if place.address is None else (place.address,):
                if address.version == place.family and place.protocol in _KINDS:
                    yield Spot(address, str(place.protocol), place.port), frontend

    def _give(self) -> dict[str, str]:
        """Give the device the addresses that are wanted; says which Services go without, and why."""
        owners = {f.place.address: d.key for d in self._services.values() for f in d.frontends if f.place.address}
        clusters = (a for d in self._services.values() for a in d.cluster_ips)
        wanted = {address for address in (*owners, *clusters) if not address.is_loopback}
        if wanted != self._wanted or self._without:
            found = addresses.addresses(self._host, DEVICE)
            with contextlib.suppress(CommitFailed):  # what is missing afterwards is told with its Service
                addresses.change(self._host, DEVICE, wanted - found[True] - found[False], self._given - wanted)
            there = addresses.addresses(self._host, DEVICE)
            self._given = (wanted & there[True]) - found[False]
            self._wanted, self._without = wanted, wanted - there[True] - there[False]
        return {owners[a]: f"this host cannot be given the address {a}" for a in self._without if a in owners}

    def _listen(self, spot: Spot) -> tcp.Listener | udp.Listener:
        family = socket.AF_INET if spot.address.version == 4 else socket.AF_INET6
        made = self._host.socket(family, _KINDS[Protocol(spot.protocol)])
        try:
            made.setblocking(False)
            # A successor can listen before this one ends.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((str(spot.address), spot.port))
            if made.type == socket.SOCK_STREAM:
                made.listen(_BACKLOG)
        except OSError:
            made.close()
            raise

        def choose(client: Address) -> Target | None:
            return self._choose(spot, client)

        if made.type == socket.SOCK_DGRAM:
            return udp.Listener(self._host, made, choose)
        return tcp.Listener(self._host, made, choose, lambda target: self._failed(spot, target))

    def _choose(self, spot: Spot, client: Address) -> Target | None:
        frontend = self._spots.get(spot)
        if frontend is None or not allowed(frontend, client):
            return None
        pool = pool_for(frontend, client, self._node, frozenset((*self._own, *self._given)))
        if not pool:
            return None
        turns = self._turns.setdefault((frontend.origin, spot.protocol), Turns())
        return turns.choose(spot, pool, client, frontend.affinity_seconds, asyncio.get_running_loop().time())

    def _failed(self, spot: Spot, target: Target) -> None:
        frontend = self._spots.get(spot)
        if frontend:
            self._turns[frontend.origin, spot.protocol].forget(target)

    def _leave(self, listener: tcp.Listener | udp.Listener) -> None:
        listener.stop()
        if isinstance(listener, tcp.Listener):
            self._leaving = [left for left in self._leaving if left.busy]
            self._leaving.append(listener)


def _alone(packet: Packet, ending: Ending) -> Possibility:
    return Possibility(ending, Fraction(1), packet.destination, packet.port, False, ())
