"""Which names exist for other reasons than records of their own: that names below them do (RFC 8020), say. Pure."""

from __future__ import annotations

from kdns import names


class Existing:
    """Wire names with the number of reasons each has: record sets at its children, and its children that are here."""

    def __init__(self) -> None:
        self._reasons: dict[bytes, int] = {}

    def __contains__(self, name: bytes) -> bool:
        return name in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, name: bytes) -> None:
        """Count one more reason for a name; one that begins to exist is a reason for its parent."""
        while True:
            count = self._reasons.get(name, 0)
            self._reasons[name] = count + 1
            if count or name == names.ROOT:
                return
            name = names.parent(name)

    def drop(self, name: bytes) -> None:
        """Count one reason less, the opposite of `add`."""
        while True:
            count = self._reasons[name] - 1
            if count:
                self._reasons[name] = count
                return
            del self._reasons[name]
            if name == names.ROOT:
                return
            name = names.parent(name)
