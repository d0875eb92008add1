"""Work that follows from changes, done in the background, each piece once however often it was asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from kapi.errors import StatusError
from kapi.store import Changed

T = TypeVar("T")

log = logging.getLogger(__name__)

_LATER = 0.5  # seconds until something that failed is tried again


class Work(Generic[T]):
    """A queue without duplicates, and the one who does what is in it."""

    def __init__(self, do: Callable[[T], Awaitable[None]]) -> None:
        self._do = do
        self._waiting: dict[T, None] = {}
        self._some = asyncio.Event()

    def add(self, item: T) -> None:
        """Ask for something to be done."""
        self._waiting[item] = None
        self._some.set()

    async def run(self) -> None:
        """Do what is asked for, for ever."""
        while True:
            await self._some.wait()
            while self._waiting:
                item = next(iter(self._waiting))
                del self._waiting[item]
                await self._attempt(item)
            self._some.clear()

    async def _attempt(self, item: T) -> None:
        try:
            await self._do(item)
        except (StatusError, Changed) as error:
            log.info("%s is tried again: %s", item, error)
            asyncio.get_running_loop().call_later(_LATER, self.add, item)
        except Exception:  # one piece of work that the server has a fault with must not end all other work
            log.exception("%s was given up", item)
