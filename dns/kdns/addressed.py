"""Keys by reverse names: found by the whole name of an address, and by every name above it. Pure."""

from __future__ import annotations

from kdns import names


class Addressed:
    """Keys with the reverse names (on the wire) that each was added with. To find one costs no more where many are."""

    def __init__(self) -> None:
        self._keys: dict[bytes, str | dict[str, None]] = {}  # by whole name; most have one alone
        self._below: dict[bytes, dict[bytes, None]] = {}  # name -> those one label below it that lead to a key
        self._names: dict[str, list[bytes]] = {}  # by key

    def add(self, key: str, name: bytes) -> None:
        """Let a key be found by the reverse name of an address."""
        known = self._keys.get(name)
        if known is None:
            self._keys[name] = key
            self._grow(name)
        elif isinstance(known, dict) and key not in known:
            known[key] = None
        elif isinstance(known, str) and key != known:
            self._keys[name] = {known: None, key: None}
        else:
            return
        self._names.setdefault(key, []).append(name)

    def drop(self, key: str) -> None:
        """Let a key be found by nothing."""
        for name in self._names.pop(key, ()):
            known = self._keys[name]
            if isinstance(known, dict) and len(known) > 1:
                del known[key]
            else:
                del self._keys[name]
                self._shrink(name)

    def at(self, name: bytes) -> list[str]:
        """Give the keys with a whole reverse name."""
        known = self._keys.get(name, {})
        return [known] if isinstance(known, str) else list(known)

    def below(self, name: bytes) -> str | None:
        """Give one of the keys below a name, if there is any."""
        if name not in self._below:
            return None
        while name in self._below:
            name = next(iter(self._below[name]))
        return self.at(name)[0]

    def _grow(self, name: bytes) -> None:
        while name != names.ROOT:
            above = names.parent(name)
            known = self._below.setdefault(above, {})
            known[name] = None
            if len(known) > 1:
                return
            name = above

    def _shrink(self, name: bytes) -> None:
        while name != names.ROOT:
            above = names.parent(name)
            known = self._below[above]
            del known[name]
            if known:
                return
            del self._below[above]
            name = above
