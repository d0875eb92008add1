"""A lab's lock file: it tells whether the lab lives, and lets one command at a time change what the lab keeps.

Two locks are on it, which know nothing of each other. The lab's processes have taken one (flock(2)) for as long as they
live. Who makes or removes the folder holds the other for that moment (fcntl(2), an open file description lock).

The folder may be removed, and made anew by another lab of the same name, whenever nobody holds the second lock. So each
lab has a file of its own, one is told from another by its inode, and nothing is removed unless the file is in place.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock: type, whence, start, length (0: all of the file), process
_ALONE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_TAKEN = re.compile(r"FLOCK +ADVISORY +WRITE")  # in /proc/PID/fdinfo
_NO_MORE = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


class Lock:
    """The lock file of one lab, opened. Use it as a context manager, or close it."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self.fd = fd

    @classmethod
    def opened(cls, path: Path, flags: int = 0) -> Lock:
        """Open the file that is at a path now. Raises OSError."""
        return cls(path, os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600))

    def again(self) -> Lock:
        """Open the same file once more, wherever it is by now: who has taken the first is asked through this one."""
        return Lock(self._path, os.open(f"/proc/self/fd/{self.fd}", os.O_RDWR | os.O_CLOEXEC))

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; what was taken stays so for as long as another process has inherited it."""
        os.close(self.fd)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep everybody else from changing the folder for the length of a block.

        Gives whether this is the folder's lock still. If it is not, nothing there may be touched.
        """
        fcntl.fcntl(self.fd, fcntl.F_OFD_SETLKW, _ALONE)
        try:
            yield self._in_place()
        finally:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, _NO_MORE)

    def take(self) -> None:
        """Take it, in a file of this lab's own, for the life of this process and of those that inherit it."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)  # nobody else has it for longer than it takes to look

    @property
    def taken(self) -> bool:
        """Whether a lab lives."""
        with self.again() as looking:  # apart from this one, which may be the very one that is taken
            try:
                fcntl.flock(looking.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def holders(self) -> list[int]:
        """The processes that have taken it: those of a lab that is starting, runs, or hangs."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self.is_held_by(int(path.name))]

    def is_held_by(self, pid: int) -> bool:
        """Whether a process is one of the lab's."""
        try:
            return any(self._is_held_as(pid, fd) for fd in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  # names
        except OSError:  # it has ended meanwhile, or is somebody else's
            return False

    def _is_held_as(self, pid: int, fd: str) -> bool:
        descriptor = Path("/proc", str(pid), "fd", fd)
        try:
            if not os.readlink(descriptor).startswith(str(self._path)):  # noqa: PTH115  # as text
                return False
            same = os.path.samestat(descriptor.stat(), os.fstat(self.fd))
            return same and _TAKEN.search(Path("/proc", str(pid), "fdinfo", fd).read_text()) is not None
        except OSError:  # closed meanwhile
            return False

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self.fd))
        except (FileNotFoundError, NotADirectoryError):
            return False
