"""One object at one version, as it is kept in memory and as clients are shown it."""

from __future__ import annotations

import json
from typing import Any

from kapi.codec.owned import unpack

Json = dict[str, Any]

_WRITE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def encode(value: Any) -> bytes:
    """Give JSON as it goes over the wire."""
    return _WRITE(value).encode()


class Record:
    """One object at one version. `object` must not be changed by anyone; `encoded` is its JSON, made once.

    Who owns its fields (`managedFields`) is not in `object` but beside it, packed: few ever look.
    """

    __slots__ = ("_encoded", "key", "name", "namespace", "object", "owned", "version")

    def __init__(  # noqa: PLR0917  # in the order of its key, as every caller has them
        self, key: str, namespace: str, name: str, version: int, obj: Json, owned: bytes = b""
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.version = version
        self.object = obj
        self.owned = owned
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The object as JSON, as clients are shown it."""
        if self._encoded is None:
            self._encoded = _joined(self.object, unpack(self.owned)) if self.owned else encode(self.object)
        return self._encoded

    @property
    def managed(self) -> list[Json]:
        """The record of the fields' owners, read anew."""
        entries: list[Json] = json.loads(unpack(self.owned)) if self.owned else []
        return entries

    @property
    def metadata(self) -> Json:
        """The metadata as clients are shown it."""
        meta: Json = self.object["metadata"]
        return {**meta, "managedFields": self.managed} if self.owned else meta

    @property
    def shown(self) -> Json:
        """The object as clients are shown it."""
        return {**self.object, "metadata": self.metadata} if self.owned else self.object


def _joined(obj: Json, owned: bytes) -> bytes:
    """Give the JSON of an object together with that of its owners."""
    meta = encode(obj["metadata"])[:-1]
    rest = encode({name: value for name, value in obj.items() if name != "metadata"})
    return b'{"metadata":%s,"managedFields":%s},%s' % (meta, owned, rest[1:])
