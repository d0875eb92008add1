"""Who owns what, kept as objects come and go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from kapi.cache import Change
from netnslab.workloads.claim import O
from netnslab.workloads.values import Identity


class Holdings(Generic[O]):
    """Objects by the uid of their owner, and by namespace those that nobody owns."""

    def __init__(self) -> None:
        self._owned: dict[str, dict[str, O]] = {}
        self._orphans: dict[str, dict[str, O]] = {}

    def take(self, change: Change[O]) -> None:
        """Follow a change."""
        if change.old is not None:
            files, name = self._place(change.old)
            filed = files[name]
            del filed[change.key]
            if not filed:
                del files[name]
        if change.new is not None:
            files, name = self._place(change.new)
            files.setdefault(name, {})[change.key] = change.new

    def of(self, meta: Identity) -> list[O]:
        """Give what an object owns, and what it might adopt."""
        return [*self._owned.get(meta.uid, {}).values(), *self._orphans.get(meta.namespace, {}).values()]

    def owned(self, uid: str) -> Iterator[O]:
        """Give what an object owns."""
        return iter(self._owned.get(uid, {}).values())

    def _place(self, one: O) -> tuple[dict[str, dict[str, O]], str]:
        owner = one.meta.owner
        return (self._owned, owner.uid) if owner is not None else (self._orphans, one.meta.namespace)
