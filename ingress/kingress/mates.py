"""The processes of one ingress tell each other what they counted: each answers on a socket of its own in one folder.

Whichever process is asked for metrics or health asks the others at that moment; nothing is copied while nobody asks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_PATIENCE = 2.0  # seconds
_MOST = 1 << 28  # bytes of an answer


class Mates:
    """The other processes, and how this one answers them. Alone, there is no folder and nobody."""

    def __init__(self, folder: Path | None = None, index: int = 0, count: int = 1) -> None:
        self._folder = folder
        self._index = index
        self._count = count

    async def answer(self, state: Callable[[], Json]) -> asyncio.Server | None:
        """Answer the others from now on. Raises OSError."""
        if self._folder is None:
            return None
        path = self._path(self._index)
        path.unlink(missing_ok=True)  # of one that died

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(json.dumps(state()).encode() + b"\n")
            await writer.drain()
            writer.close()

        return await asyncio.start_unix_server(tell, path)

    async def ask(self) -> list[Json | None]:
        """Give the state of each of the others; None for one that gives no answer."""
        others = [self._path(index) for index in range(self._count) if index != self._index]
        return list(await asyncio.gather(*map(_ask, others)))

    def _path(self, index: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{index}.sock"


async def _ask(path: Path) -> Json | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MOST)
            line = await reader.readline()
            writer.close()
            return dict(json.loads(line))
    except (OSError, TimeoutError, ValueError):
        return None
