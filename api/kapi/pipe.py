"""The cluster as lines of a pipe: one watch event as JSON each, as `kubectl get --watch -o json` or a core writes them.

A line `SYNC` (or `{"type": "SYNC"}`) ends the first state; nothing begins before it. `docs/reference/plug-in.md` is the
contract.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

from kapi.errors import ApiError, DecodeError
from kapi.feed import Feed

Json = dict[str, Any]

log = logging.getLogger(__name__)

_LONGEST_LINE = 1 << 26  # 64 MiB: etcd's limit for an object is 1.5 MiB


class PipeError(ApiError):
    """The pipe ended, or broke, before the first state was complete."""


class Pipe(Feed):
    """See `kapi.source.Source`. What is known when the pipe ends stays; `run` then goes on until cancelled."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    async def run(self) -> None:
        """See `Source.run`. Raises PipeError where the pipe ends before `SYNC`."""
        number = 0
        async for line in _lines(self._stream):
            number += 1
            if not line.strip():
                continue
            try:
                self._take(line)
            except (DecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("line %d of the events is left out: %s", number, error)
        if not self.complete:
            raise PipeError("the events ended before a SYNC line: nothing is put in place from half a state")
        log.warning("the events have ended: what is known stays in place")
        await super().run()

    def _take(self, line: bytes) -> None:
        if line.strip() == b"SYNC":
            return self.finish()
        event = json.loads(line)
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self.put(event["object"])
            case "DELETED":
                self.remove(event["object"])
            case "SYNC":
                self.finish()
            case "BOOKMARK":
                pass
            case kind:
                raise DecodeError(f"{kind!r} is none of ADDED, MODIFIED, DELETED, BOOKMARK and SYNC")
        return None


async def _lines(stream: BinaryIO) -> AsyncIterator[bytes]:
    """Give the lines of a pipe, socket or terminal as they come, and those of anything else at once."""
    mode = os.fstat(stream.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()):
        for line in await asyncio.to_thread(stream.readlines):
            yield line
        return
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stream
    )
    try:
        while line := await reader.readline():
            yield line
    finally:
        transport.close()
