"""Response-rate limiting: forged queries must not make this server flood their victim.

Each network (/24, /56) has a bucket of replies over UDP that fills with time. When it is empty, every second reply is
dropped and the others say TC with nothing in them: who is really there asks again over TCP, which cannot be forged.
"""

from __future__ import annotations

from collections.abc import Callable

from kdns import wire

_MOST_NETWORKS = 100_000  # remembered at a time; then all begin anew
_BURST = 2.0  # seconds' worth of replies that a silent network has saved


class Limiter:
    """Counts replies; `rate` is how many a second each network may have."""

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._left: dict[bytes, tuple[float, float]] = {}  # network -> replies left, at a time
        self._slip = False

    def limited(self, network: bytes, query: bytes, reply: bytes) -> bytes | None:
        """Give the reply that may be sent: itself, one without answers, or none."""
        now = self._monotonic()
        left, since = self._left.get(network, (self._rate * _BURST, now))
        left = min(self._rate * _BURST, left + (now - since) * self._rate)
        if len(self._left) >= _MOST_NETWORKS:
            self._left.clear()
        self._left[network] = (max(0.0, left - 1), now)
        if left >= 1:
            return reply
        self._slip = not self._slip
        return _truncated(query, reply) if self._slip else None


def _truncated(query: bytes, reply: bytes) -> bytes:
    """Give the reply's header and question with TC; never more than was sent."""
    end = query.find(0, wire.HEADER) + 5
    flags = int.from_bytes(reply[2:4], "big") | 0x0200
    return reply[:2] + flags.to_bytes(2, "big") + reply[4:6] + bytes(6) + reply[wire.HEADER : end]
