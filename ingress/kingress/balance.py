"""Chooses which endpoint answers the next request. No clock, no sockets: the state is a counter.

`Peer` is one endpoint as the data path sees it. A balancer is given the peers of a backend, those that a request has
tried already, and the key of the request where the choice depends on one; it gives None when nobody is left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol
from zlib import crc32

_MASK = (1 << 64) - 1


class Peer:
    """One endpoint: its address, the requests it is answering now, and its idle connections, the latest last."""

    __slots__ = ("active", "ejected", "failures", "gone", "host", "idle", "name", "port", "salt", "token", "unhealthy")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.active = 0
        self.idle: list[Any] = []  # connections of the pool, whatever their protocol
        self.gone = False  # no longer an endpoint: what it answers may end, nothing new is sent
        self.failures = 0  # attempts in a row that it did not answer
        self.ejected = 0  # ticks for which it is left alone
        self.unhealthy = False  # says a check of the ingress' own
        self.salt = _mixed(crc32(self.name.encode()))
        self.token = b"%016x" % self.salt  # in sticky cookies: the same from every process, and not an address

    def __str__(self) -> str:
        return self.name


class Balancer(Protocol):
    """One way to choose."""

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer], key: bytes = b"") -> Peer | None:
        """Give the peer for the next request."""
        ...


class RoundRobin:
    """Each in turn. `start` is where the first turn begins, so that many proxies do not all begin with the first."""

    __slots__ = ("_next",)

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer], key: bytes = b"") -> Peer | None:  # noqa: ARG002
        """See `Balancer.choose`. The key is for others (ARG002)."""
        for _ in peers:
            turn = self._next + 1
            self._next = turn = turn if turn < len(peers) else 0
            if not tried or peers[turn] not in tried:
                return peers[turn]
        return None


class LeastRequests:
    """The one that answers the fewest requests now; among equals, each in turn."""

    __slots__ = ("_turns",)

    def __init__(self, start: int = 0) -> None:
        self._turns = RoundRobin(start)

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer], key: bytes = b"") -> Peer | None:  # noqa: ARG002
        """See `Balancer.choose`. The key is for others (ARG002)."""
        left = [peer for peer in peers if peer not in tried]
        fewest = min((peer.active for peer in left), default=0)
        return self._turns.choose([peer for peer in left if peer.active == fewest], ())


class TwoChoices:
    """Of two drawn at random, the one that answers fewer requests: nearly as even, and no herd where many choose.

    `draw(n)` gives a random number from 0 to n - 1. (Mitzenmacher, The Power of Two Choices, 2001)
    """

    __slots__ = ("_draw",)

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw = draw

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer], key: bytes = b"") -> Peer | None:  # noqa: ARG002
        """See `Balancer.choose`. The key is for others (ARG002)."""
        left = [peer for peer in peers if peer not in tried] if tried else peers
        if len(left) < 2:
            return left[0] if left else None
        first = self._draw(len(left))
        second = self._draw(len(left) - 1)
        one, other = left[first], left[second + (second >= first)]
        return one if one.active <= other.active else other


class Rendezvous:
    """The one that scores highest together with the key: who comes or goes moves only its own share of the keys.

    Sources: Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit Rates, 1998.
    """

    __slots__ = ()

    def choose(self, peers: Sequence[Peer], tried: Collection[Peer], key: bytes = b"") -> Peer | None:
        """See `Balancer.choose`."""
        seed = _mixed(crc32(key))
        return max(
            (peer for peer in peers if peer not in tried), key=lambda peer: _mixed(peer.salt ^ seed), default=None
        )


def _mixed(value: int) -> int:
    """Spread a number over 64 bits, the same in every process (the finaliser of SplitMix64)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def balancer(kind: str, draw: Callable[[int], int]) -> Balancer:
    """Give the balancer that `Conduct.balance` names."""
    if kind == "least-requests":
        return LeastRequests()
    if kind == "random-two":
        return TwoChoices(draw)
    return Rendezvous() if kind == "hash" else RoundRobin()
