"""How long to wait before a container that ended is started again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST = 10.0
_LONGEST = 300.0
_FORGIVEN_AFTER = 600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Kubelet's crash loop delays: none for the first end, then 10 s, doubled up to 5 minutes.

    A run of ten minutes makes up for all earlier ones.
    """

    next: float = 0.0

    def after(self, ran: float) -> tuple[float, Backoff]:
        """The delay after a run of `ran` seconds, and the back-off from there on."""
        delay = 0.0 if ran >= _FORGIVEN_AFTER else self.next
        return delay, Backoff(min(max(_FIRST, delay * 2), _LONGEST))
