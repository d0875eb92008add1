"""Services whose changed names are not compiled yet: in the order of their changes, and by what is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kdns import names

_ARPA = b"\4arpa\0"


class Backlog:
    """The keys (`namespace/name`) of such Services. None is told wrongly of meanwhile: who asks for one finds it."""

    def __init__(self, zone: str) -> None:
        self._keys: dict[str, None] = {}
        self._services = names.to_wire(f"svc.{zone}")
        self._addressed: dict[bytes, list[str]] = {}  # reverse names of those that were here when `index` was called

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Put a Service last, unless it is here."""
        self._keys[key] = None

    def first(self) -> str:
        """Give the one that has been here for longest."""
        return next(iter(self._keys))

    def take(self, key: str) -> None:
        """Take one away: it is about to be compiled."""
        del self._keys[key]
        if not self._keys:
            self._addressed.clear()

    def index(self, addresses: Iterable[tuple[str, bytes]]) -> None:
        """Let Services be found by addresses (packed, with their keys), too, until all of them are compiled."""
        for key, address in addresses:
            self._addressed.setdefault(names.reverse_wire(address), []).append(key)

    def asked_for(self, name: bytes) -> list[str]:
        """Give which of them a name (lower-case) may stand for, or may exist through."""
        keys = [self._service(name)] if name.endswith(self._services) else self._at(name)
        return [key for key in dict.fromkeys(keys) if key in self._keys]  # an address may be in several slices

    def namespaces(self) -> dict[str, str]:
        """Give the namespaces in which there are any, with one of each."""
        return {key.partition("/")[0]: key for key in self._keys}

    def _service(self, name: bytes) -> str:
        """Give the key of the Service at or above a name; no such key where there are not enough labels."""
        end, at = len(name) - len(self._services), 0
        service, namespace = b"", b""
        while at < end:
            service, namespace = namespace, name[at + 1 : at + 1 + name[at]]
            at += name[at] + 1
        return f"{namespace.decode('latin-1')}/{service.decode('latin-1')}"

    def _at(self, name: bytes) -> list[str]:
        """Give those with a reverse name, or with one below it."""
        if name in self._addressed or not (self._addressed and name.endswith(_ARPA)):
            return self._addressed.get(name, [])
        return next((keys for below, keys in self._addressed.items() if below.endswith(name)), [])
