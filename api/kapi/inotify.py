"""Hears of changes in one folder, through the kernel's inotify: see inotify(7)."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from types import TracebackType

_CLOSED_AFTER_WRITING, _MOVED, _DELETED = 0x8, 0xC0, 0x200
_SHAPE_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_BUFFER = 1 << 16


class Folder:
    """Sets `changed` when a file in a folder was written and closed, moved, or deleted. A context manager.

    Where the kernel or the file system tells nothing (some network file systems), it stays silent: look now and then.
    """

    def __init__(self, path: Path) -> None:
        self.changed = asyncio.Event()
        self._path = path
        self._fd = -1

    def __enter__(self) -> Folder:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_SHAPE_FLAGS)
        if self._fd >= 0:
            events = _CLOSED_AFTER_WRITING | _MOVED | _DELETED
            libc.inotify_add_watch(self._fd, os.fsencode(self._path), events)
            asyncio.get_running_loop().add_reader(self._fd, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)

    def _heard(self) -> None:
        os.read(self._fd, _BUFFER)
        self.changed.set()
