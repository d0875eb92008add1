"""Where objects are kept: one small protocol, and its stores beside it.

A store is a map from keys to JSON values with one counter over all: every write gets the next revision, and a write
happens only where the key still has the revision that the writer saw. What is written is told, in order, to one
listener; lists and watches are served from what the listener has seen, never from the store.

    StoreError              writes fail, reads go on
    +-- Changed             the key has another revision than expected
    +-- Taken               another key holds a name that this one claims
    +-- TooLarge            the value is larger than the store takes
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


class Taken(StoreError):
    """Another key holds a name that the write claims: choose another, or look who it is."""


class TooLarge(StoreError):
    """The value is larger than this store takes, now and later."""


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


@dataclass(frozen=True, slots=True)
class Claims:
    """Names of which each is held by one key at a time: those that a write takes, and those that it leaves.

    They are for servers that share a store: each knows what the others hold only after a moment. A store that one
    server has to itself need not keep them.
    """

    taken: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


NO_CLAIMS = Claims()
Listener = Callable[[Write], None]


class Store(Protocol):
    """Keeps values. One server uses a store at a time, unless the store says otherwise."""

    async def open(self, listener: Listener) -> Snapshot:
        """Give what is there, and from now on tell `listener` of every committed write, in order of revision."""
        ...

    async def write(self, key: str, value: Json | None, expected: int, claims: Claims = NO_CLAIMS) -> int:
        """Put `value` (None deletes) where `key` still has revision `expected` (0: there is no such key).

        Returns the write's revision, once it is as durable as the store promises and the listener has been told.
        Raises `Changed` after the listener was told of the write that came first, `Taken` where another key holds what
        this one claims, and `StoreError` where the value cannot be kept. `value` belongs to the store from here on.
        """
        ...

    async def catch_up(self) -> None:
        """Return once the listener was told of all that was acknowledged before this call, by whichever server.

        Where that cannot be had, because the store is away, it returns after a moment: what is known is served.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted and give back files."""
        ...
