"""Services whose changed names are not compiled yet: in the order of their changes, and by what is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdns import names
from kdns.addressed import Addressed


class Backlog:
    """The keys (`namespace/name`) of such Services. None is told wrongly of meanwhile: who asks for one finds it."""

    def __init__(self, zone: str) -> None:
        self._keys: dict[str, None] = {}
        self._services = names.to_wire(f"svc.{zone}")
        self._spaces: dict[str, dict[str, None]] = {}  # by namespace
        self._addressed = Addressed()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def add(self, key: str) -> None:
        """Put a Service last, unless it is here."""
        self._keys[key] = None
        self._spaces.setdefault(key.partition("/")[0], {})[key] = None

    def first(self) -> str:
        """Give the one that has been here for longest."""
        return next(iter(self._keys))

    def take(self, key: str) -> None:
        """Take one away: it is about to be compiled."""
        del self._keys[key]
        space = key.partition("/")[0]
        del self._spaces[space][key]
        if not self._spaces[space]:
            del self._spaces[space]
        self._addressed.drop(key)

    def index(self, key: str, reverse: Iterable[bytes]) -> None:
        """Let a Service that is here be found by reverse names, too, until it is taken."""
        for name in reverse:
            self._addressed.add(key, name)

    def asked_for(self, name: bytes) -> list[str]:
        """Give which of them a name (lower-case) may stand for."""
        if not name.endswith(self._services):
            return self._addressed.at(name)
        key = "/".join(self._service(name))
        return [key] if key in self._keys else []

    def below(self, name: bytes) -> str | None:
        """Give one of those that a name may exist through, though it stands for none: a namespace, a reverse zone."""
        if not name.endswith(self._services):
            return self._addressed.below(name)
        namespace, service = self._service(name)
        return None if service else next(iter(self._spaces.get(namespace, ())), None)

    def _service(self, name: bytes) -> tuple[str, str]:
        """Give the namespace and the name of the Service at or above a name; empty where labels are missing."""
        end, at = len(name) - len(self._services), 0
        service, namespace = b"", b""
        while at < end:
            service, namespace = namespace, name[at + 1 : at + 1 + name[at]]
            at += name[at] + 1
        return namespace.decode("latin-1"), service.decode("latin-1")
