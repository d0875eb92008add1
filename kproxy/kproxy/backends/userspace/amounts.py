"""How much was carried between the clients of one place and one endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Carried:
    """What went one way."""

    packets: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one piece."""
        self.packets += 1
        self.bytes += size


@dataclass(slots=True)
class Amounts:
    """What went to an endpoint, and what came from it."""

    asked: Carried = field(default_factory=Carried)
    answered: Carried = field(default_factory=Carried)
