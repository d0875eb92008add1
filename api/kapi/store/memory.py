"""A store without a disk: for tests, and for labs that need no memory of their own."""

from __future__ import annotations

from kapi.store import NO_CLAIMS, Changed, Claims, Json, Listener, Snapshot, StoreError, Write


class MemoryStore:
    """Keeps values for as long as it lives. It can be closed and opened again, as a file could."""

    def __init__(self) -> None:
        self._entries: dict[str, Write] = {}
        self._revision = 0
        self._listener: Listener | None = None

    async def open(self, listener: Listener) -> Snapshot:
        """See `Store.open`."""
        self._listener = listener
        return Snapshot(self._revision, tuple(self._entries.values()))

    async def write(self, key: str, value: Json | None, expected: int, _claims: Claims = NO_CLAIMS) -> int:
        """See `Store.write`. One server has this store to itself, and knows itself who holds what."""
        if self._listener is None:
            raise StoreError(f"{key} was not written: the store is not open")
        known = self._entries.get(key)
        actual = known.revision if known is not None else 0
        if actual != expected:
            raise Changed(f"{key} is at revision {actual}, not {expected}")
        self._revision += 1
        write = Write(key, self._revision, value)
        if value is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = write
        self._listener(write)
        return write.revision

    async def catch_up(self) -> None:
        """See `Store.catch_up`. There is no other server."""

    async def close(self) -> None:
        """See `Store.close`."""
        self._listener = None
