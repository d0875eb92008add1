"""Works out one Service apart from the others: a fault met with one must never stop the work on all the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from kproxy.model import Duties

log = logging.getLogger(__name__)

T = TypeVar("T")


def worked_out(refused: dict[str, str], work: Callable[[Duties], T], duties: Duties) -> T | None:
    """Give what `work` makes of one Service's duties; where it fails, None, and the cause goes into `refused`."""
    try:
        return work(duties)
    except Exception as error:  # whatever it is: `Backend.commit` returns it as the cause why the Service is left out
        log.exception("Service %s is left out: its rules could not be worked out", duties.key)
        refused[duties.key] = f"its rules could not be worked out: {error!r}"
        return None
