"""When what was prepared beforehand is void. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Changes:
    """Counts how often anything changed that steady plug-ins give: what was prepared from it before is void."""

    number: int = 0

    def tell(self) -> None:
        """Say that `lookup` may give something else from now on."""
        self.number += 1
