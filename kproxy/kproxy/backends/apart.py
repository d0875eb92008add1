"""Works out one Service apart from the others: a fault met with one must never stop the work on all the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from kproxy.model import Duties

log = logging.getLogger(__name__)

T = TypeVar("T")


class Apart:
    """Remembers the Services whose rules cannot be worked out, and why: each fault is logged once."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}

    def work_out(self, work: Callable[[Duties], T], duties: Duties) -> T | None:
        """Give what `work` makes of one Service's duties, or None where it fails."""
        try:
            made = work(duties)
        except Exception as error:  # whatever it is: the others are not its fault
            fault = f"its rules could not be worked out: {error!r}"
            if self._faults.get(duties.key) != fault:
                log.exception("Service %s is left out: its rules could not be worked out", duties.key)
            self._faults[duties.key] = fault
            return None
        self._faults.pop(duties.key, None)
        return made

    def faults(self, keys: Iterable[str]) -> dict[str, str]:
        """Give why each of these Services is left out, of those that are."""
        return {key: self._faults[key] for key in keys if key in self._faults}
