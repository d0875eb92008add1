"""Where objects are kept: one small protocol, and its stores beside it.

A store is a map from keys to JSON values with one counter over all: every write gets the next revision, and a write
happens only where the key still has the revision that the writer saw. What is written is told, in order, to one
listener; lists and watches are served from what the listener has seen, never from the store.

    StoreError              writes fail, reads go on
    +-- Changed             the key has another revision than expected
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kapi.errors import ApiError

Json = dict[str, Any]


class StoreError(ApiError):
    """A write could not be kept; the message says of what and why. Nothing has changed."""


class Changed(StoreError):
    """The key has another revision than the writer expected: read again and decide again."""


@dataclass(frozen=True, slots=True)
class Write:
    """One committed write. `value` is None where the key was deleted."""

    key: str
    revision: int
    value: Json | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is when a store is opened, and the revision at which it is true."""

    revision: int
    entries: Iterable[Write]


Listener = Callable[[Write], None]


class Store(Protocol):
    """Keeps values. One server uses a store at a time, unless the store says otherwise."""

    async def open(self, listener: Listener) -> Snapshot:
        """Give what is there, and from now on tell `listener` of every committed write, in order of revision."""
        ...

    async def write(self, key: str, value: Json | None, expected: int) -> int:
        """Put `value` (None deletes) where `key` still has revision `expected` (0: there is no such key).

        Returns the write's revision, once it is as durable as the store promises and the listener has been told.
        Raises `Changed` after the listener was told of the write that came first, and `StoreError` where the value
        cannot be kept. `value` belongs to the store from here on.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted and give back files."""
        ...
