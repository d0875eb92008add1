"""A log that grows, and that the log of the container's next run may take the place of."""

from __future__ import annotations

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path


class GrowingLog:
    """Reads a log as it grows. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def __enter__(self) -> GrowingLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def more(self) -> bytes:
        """Give what has been added since; of a log that has been replaced, the rest of it, and then the new one."""
        data = self._file.read() if self._file is not None else b""
        if not data and self._turned():
            data = self._file.read() if self._file is not None else b""
        return data or b""

    def _turned(self) -> bool:
        """Open the file that is there now, where that is another one."""
        with suppress(FileNotFoundError):
            if self._file is None or not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                fresh = FileIO(self._path)
                if self._file is not None:
                    self._file.close()
                self._file = fresh
                return True
        return False
