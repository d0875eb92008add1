"""Chooses which endpoint answers the next request. No clock, no sockets: the state is a counter.

`Peer` is one endpoint as the data path sees it. A balancer is given the peers of a backend and those that a request has
tried already; it gives None when nobody is left.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol


class Peer:
    """One endpoint: its address, the requests it is answering now, and its idle connections, the latest last."""

    __slots__ = ("active", "gone", "host", "idle", "name", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.active = 0
        self.idle: list[Any] = []  # connections of the pool, whatever their protocol
        self.gone = False  # no longer an endpoint: what it answers may end, nothing new is sent

    def __str__(self) -> str:
        return self.name


class Balancer(Protocol):
    """One way to choose."""

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer]) -> Peer | None:
        """Give the peer for the next request."""
        ...


class RoundRobin:
    """Each in turn. `start` is where the first turn begins, so that many proxies do not all begin with the first."""

    __slots__ = ("_next",)

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer]) -> Peer | None:
        """See `Balancer.choose`."""
        count = len(peers)
        for _ in range(count):
            self._next = turn = (self._next + 1) % count
            peer = peers[turn]
            if not tried or peer not in tried:
                return peer
        return None


class LeastRequests:
    """The one that answers the fewest requests now; among equals, each in turn."""

    __slots__ = ("_turns",)

    def __init__(self, start: int = 0) -> None:
        self._turns = RoundRobin(start)

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer]) -> Peer | None:
        """See `Balancer.choose`."""
        left = [peer for peer in peers if peer not in tried]
        fewest = min((peer.active for peer in left), default=0)
        return self._turns.choose([peer for peer in left if peer.active == fewest], ())
