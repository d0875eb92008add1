"""The userspace backend put together: gives the host the addresses of Services, listens there, and forwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import ClassVar

from kapi import component
from kapi.network import Address, Protocol
from kproxy.backends import addresses
from kproxy.backends.userspace import tcp, udp
from kproxy.backends.userspace.amounts import Amounts
from kproxy.backends.userspace.asked import Asked, Spot
from kproxy.backends.userspace.choose import Turns, allowed, pool_for
from kproxy.errors import CommitFailed
from kproxy.host import Host, ThisHost
from kproxy.model import Counted, Duties, NodeDuties, Place, Target
from kproxy.rules.evaluate import Ending, Outcome, Packet, Possibility
from kproxy.rules.model import Ruleset

DEVICE = "lo"
_BACKLOG = 4096
_REMEMBERED = 1000  # endpoints of a place, before those that are gone are forgotten
_KINDS = {Protocol.TCP: socket.SOCK_STREAM, Protocol.UDP: socket.SOCK_DGRAM}


class Userspace:
    """See `kproxy.backends.Backend`. What it carries ends with it; the endpoint sees this node's address, always."""

    name: ClassVar[str] = "userspace"
    tracked: ClassVar[bool] = False

    def __init__(self, host: Host | None) -> None:
        self._host: Host = host or ThisHost()
        self.host: Host | None = self._host
        self._node = NodeDuties()
        self._asked = Asked()
        self._listeners: dict[Spot, tcp.Listener | udp.Listener] = {}
        self._leaving: list[tcp.Listener] = []  # their connections live on
        self._turns: dict[tuple[str, str], Turns] = {}
        self._amounts: dict[Spot, dict[Target, Amounts]] = {}
        self._given: set[Address] = set()  # to the device, by us
        self._without: set[Address] = set()  # wanted, and not to be had

    def missing(self) -> str | None:
        """Nothing is needed; what cannot be bound is told for each Service."""
        return None

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """See `Backend.resync`."""
        component.allow_files()
        self._node = node
        self._asked.own = addresses.answering(self._host, DEVICE, node.node_port_networks)
        self._asked.moved = True
        gone = dict.fromkeys(key for key in self._asked.services if key not in services)
        return await self._settle({**gone, **services}, self._listeners)

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """See `Backend.commit`."""
        return await self._settle(services)

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
        frontend = self._asked.frontend(spot)
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

    def traffic(self) -> Iterator[Counted]:
        """See `kproxy.backends.Telling`. Of TCP, a packet is what was read at once."""
        for spot, targets in list(self._amounts.items()):
            place = Place(spot.address.version, spot.address, Protocol(spot.protocol), spot.port)
            for target, amounts in list(targets.items()):
                yield Counted(place, target, "in", amounts.asked.packets, amounts.asked.bytes)
                yield Counted(place, target, "out", amounts.answered.packets, amounts.answered.bytes)

    async def clear(self) -> None:
        """See `Backend.clear`."""
        self.close()

    def close(self) -> None:
        """End everything, and take the addresses back: nobody would answer there."""
        for listener in (*self._listeners.values(), *self._leaving):
            listener.close()
        self._listeners, self._leaving = {}, []
        self._asked = Asked()
        if self._given:
            with contextlib.suppress(CommitFailed):
                addresses.change(self._host, DEVICE, (), self._given)
        self._given = set()

    async def _settle(self, services: Mapping[str, Duties | None], more: Iterable[Spot] = ()) -> dict[str, str]:
        """Listen at every place of these Services: without endpoints too, lest a server of the host answers there."""
        touched = {*more, *(spot for key, duties in services.items() for spot in self._asked.note(key, duties))}
        causes = await asyncio.to_thread(self._give, services)
        for spot in touched:
            try:
                self._serve(spot)
            except OSError as error:
                key = self._asked.holder(spot)
                why = f"cannot listen at {spot.address} port {spot.port}/{spot.protocol}: {error.strerror or error}"
                if key in services:
                    causes[key] = f"{causes[key]}; {why}" if key in causes else why
        return causes

    def _serve(self, spot: Spot) -> None:
        """Listen at one place, or no more. Raises OSError."""
        frontend, listener = self._asked.frontend(spot), self._listeners.get(spot)
        if frontend is None:
            if listener:
                self._leave(self._listeners.pop(spot))
                self._amounts.pop(spot, None)
        elif isinstance(listener, udp.Listener):
            listener.keep((*frontend.pool, *(frontend.outside or ())))
        elif listener is None:
            self._listeners[spot] = self._listen(spot)

    def _give(self, keys: Iterable[str]) -> dict[str, str]:
        """Give the device the addresses that are wanted; says which of these Services go without, and why.

        The host's addresses are listed only where one came or went, or one of these Services goes without.
        """
        asked = self._asked.of(keys)
        if self._asked.moved or any(one.addresses & self._without for one in asked.values()):
            wanted = set(self._asked.addresses)
            found = addresses.addresses(self._host, DEVICE)
            with contextlib.suppress(CommitFailed):  # what is missing afterwards is told with its Service
                addresses.change(self._host, DEVICE, wanted - found[True] - found[False], self._given - wanted)
            there = addresses.addresses(self._host, DEVICE)
            self._given = (wanted & there[True]) - found[False]
            self._without, self._asked.moved = wanted - there[True] - there[False], False
        if not self._without:
            return {}
        lacking = {key: {spot.address for spot in one.spots} & self._without for key, one in asked.items()}
        return {key: f"this host cannot be given the address {min(a, key=str)}" for key, a in lacking.items() if a}

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

        def counted(target: Target) -> Amounts:
            return self._counted(spot, target)

        if made.type == socket.SOCK_DGRAM:
            return udp.Listener(self._host, made, choose, counted)
        return tcp.Listener(self._host, made, choose, lambda target: self._failed(spot, target), counted)

    def _choose(self, spot: Spot, client: Address) -> Target | None:
        frontend = self._asked.frontend(spot)
        if frontend is None or not allowed(frontend, client):
            return None
        pool = pool_for(frontend, client, self._node, frozenset((*self._asked.own, *self._given)))
        if not pool:
            return None
        turns = self._turns.setdefault((frontend.origin, spot.protocol), Turns())
        return turns.choose(spot, pool, client, frontend.affinity_seconds, asyncio.get_running_loop().time())

    def _counted(self, spot: Spot, target: Target) -> Amounts:
        """Give where the traffic of a place with an endpoint is added up; endpoints long gone are forgotten."""
        targets = self._amounts.setdefault(spot, {})
        if len(targets) >= _REMEMBERED and target not in targets and (frontend := self._asked.frontend(spot)):
            serving = {*frontend.pool, *(frontend.outside or ())}
            targets = self._amounts[spot] = {t: amounts for t, amounts in targets.items() if t in serving}
        return targets.setdefault(target, Amounts())

    def _failed(self, spot: Spot, target: Target) -> None:
        frontend = self._asked.frontend(spot)
        turns = self._turns.get((frontend.origin, spot.protocol)) if frontend else None
        if turns:  # the place may be another Service's by now
            turns.forget(target)

    def _leave(self, listener: tcp.Listener | udp.Listener) -> None:
        listener.stop()
        if isinstance(listener, tcp.Listener):
            self._leaving = [left for left in self._leaving if left.busy]
            self._leaving.append(listener)


def _alone(packet: Packet, ending: Ending) -> Possibility:
    return Possibility(ending, Fraction(1), packet.destination, packet.port, False, ())
