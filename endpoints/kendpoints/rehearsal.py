"""A rehearsal: everything is read and decided as ever, and what would be written is shown instead."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from kapi.errors import NotFound
from kapi.transport import Request, Transport
from kendpoints.diff import difference

Json = dict[str, Any]


class Rehearsal:
    """A transport that reads from the server and keeps every write from it: `show` gets a diff for each.

    A write is answered as the server would, so that the controller goes on to its next.
    """

    def __init__(self, inner: Transport, show: Callable[[str], None]) -> None:
        self._inner = inner
        self._show = show
        self._versions = itertools.count(10**18)  # newer than whatever the server has

    async def send(self, request: Request) -> Json:
        """See `Transport.send`."""
        if request.method == "GET":
            return await self._inner.send(request)
        before = await self._stored(request.path) if request.method != "POST" else None
        after = None if request.method == "DELETE" else self._written(request.body)
        meta = (before or after or {})["metadata"]
        kind = (before or after or {}).get("kind")
        self._show(difference(f"{kind}/{meta.get('namespace')}/{meta['name']}", before, after))
        return after or {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """See `Transport.stream`."""
        return self._inner.stream(request)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._inner.close()

    async def _stored(self, path: str) -> Json | None:
        try:
            return await self._inner.send(Request("GET", path))
        except NotFound:
            return None

    def _written(self, obj: Json) -> Json:
        version = str(next(self._versions))
        name = obj["metadata"].get("name") or f"{obj['metadata']['generateName']}{version[-5:]}"
        meta = {key: value for key, value in obj["metadata"].items() if key != "generateName"}
        return {**obj, "metadata": {"uid": version, **meta, "name": name, "resourceVersion": version}}
