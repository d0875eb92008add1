"""When the lines of containers' logs were printed.

A container writes to its log itself, and nobody stands between. The kernel tells when a log has grown (inotify(7)), and
how large it is then is noted with the time: a line is as old as the first size that it is part of.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netnslab import syscalls
from netnslab.errors import KernelError

log = logging.getLogger(__name__)

_EVENT = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name
_GONE = 0x8000  # IN_IGNORED
_BUFFER = 1 << 16
_MOST_MARKS = 4096  # of one log; when there are more, every other one is forgotten

Mark = tuple[int, float]


class LogTimes:
    """Notes how the logs of a lab grow. Where the kernel does not tell, all of a log is as old as its last line."""

    def __init__(self) -> None:
        self._fd = -1
        self._marks: dict[Path, list[Mark]] = {}
        self._watched: dict[int, Path] = {}

    @contextmanager
    def listening(self) -> Iterator[LogTimes]:
        """Hear of changes for the length of a block."""
        try:
            self._fd = syscalls.inotify()
        except KernelError as error:
            log.warning("the times of lines in logs are not known: %s", error)
            yield self
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fd, self._hear)
        try:
            yield self
        finally:
            loop.remove_reader(self._fd)
            os.close(self._fd)

    def begin(self, path: Path) -> None:
        """Note how a log grows from here on; it is made where there is none."""
        path.touch()
        if self._fd < 0:
            return
        try:
            watch = syscalls.watch_file(self._fd, str(path))
        except KernelError as error:
            log.warning("the times of lines in %s are not known: %s", path, error)
            return
        self._watched[watch] = path
        self._marks.setdefault(path, [])

    def turn(self, path: Path, previous: Path) -> None:
        """Take in that a log has become that of the previous run."""
        self._hear()
        if path in self._marks:
            self._marks[previous] = self._marks.pop(path)
        for watch in [watch for watch, watched in self._watched.items() if watched == path]:
            self._watched[watch] = previous

    def of(self, path: Path) -> list[Mark]:
        """How large a log was, and since when."""
        self._hear()
        found = self._marks.get(path)
        if found:
            return list(found)
        with suppress(OSError):
            status = path.stat()
            return [(status.st_size, status.st_mtime)]
        return []

    def _hear(self) -> None:
        """Note what has changed since it was heard last."""
        grown: set[Path] = set()
        while self._fd >= 0:
            try:
                data = os.read(self._fd, _BUFFER)
            except BlockingIOError:
                break
            for watch, mask, _, _ in _EVENT.iter_unpack(data):  # files have no names in their events
                path = self._watched.get(watch)
                if mask & _GONE and path is not None:
                    del self._watched[watch]
                    self._marks.pop(path, None)
                elif path is not None:
                    grown.add(path)
        now = time.time()
        for path in grown & self._marks.keys():
            self._mark(path, now)

    def _mark(self, path: Path, now: float) -> None:
        marks = self._marks[path]
        with suppress(OSError):
            size = path.stat().st_size
            if not marks or size > marks[-1][0]:
                marks.append((size, now))
        if len(marks) > _MOST_MARKS:
            del marks[:-1:2]
