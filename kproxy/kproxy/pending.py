"""What has changed and is not yet in place. Pure bookkeeping: times are given by the caller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pending:
    """The Services to look at, and what waits for them.

    `since` is when the first of the changes was noted, in seconds of a clock that never jumps; None is nothing waits.
    `triggers` are the times at which pods changed, as the endpoints controller wrote them into the slices.
    """

    keys: set[str] = field(default_factory=set)
    services: int = 0
    slices: int = 0
    since: float | None = None
    triggers: list[str] = field(default_factory=list)

    def note(self, now: float, keys: Iterable[str] = (), *, services: int = 0, slices: int = 0) -> None:
        """Note a change of so many objects, which is about these Services."""
        self.keys.update(keys)
        self.services += services
        self.slices += slices
        if self.since is None:
            self.since = now

    def merge(self, earlier: Pending) -> None:
        """Take back what could not be carried out."""
        self.keys |= earlier.keys
        self.services += earlier.services
        self.slices += earlier.slices
        self.triggers = earlier.triggers + self.triggers
        if earlier.since is not None:
            self.since = earlier.since
