"""Where a proxy acts: a host's sockets, commands and settings, as a seam.

The lab runs the proxies of several nodes in one process; each acts on the network namespace of its node.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Host(Protocol):
    """The part of a host that backends act on."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a socket of that host."""
        ...

    def run(self, command: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command there, to its end."""
        ...

    def sysctl(self, name: str) -> str:
        """Read a setting below /proc/sys, by its path; raises OSError where there is none."""
        ...

    def set_sysctl(self, name: str, value: str) -> None:
        """Write a setting below /proc/sys, by its path; raises OSError where that is not allowed."""
        ...


class ThisHost:
    """The network namespace this process is in."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """See `Host.socket`."""
        return socket.socket(family, kind, protocol)

    def run(self, command: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """See `Host.run`."""
        return subprocess.run(command, input=given, capture_output=True, check=False)

    def sysctl(self, name: str) -> str:
        """See `Host.sysctl`."""
        return (Path("/proc/sys") / name).read_text().strip()

    def set_sysctl(self, name: str, value: str) -> None:
        """See `Host.set_sysctl`."""
        (Path("/proc/sys") / name).write_text(value)


class InNamespace:
    """The network namespace behind a file descriptor, which stays the caller's to close.

    A socket belongs for life to the namespace it was opened in, so this thread goes there only for the moment of
    opening; nothing else runs on the thread in between.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._host = ThisHost()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """See `Host.socket`."""
        return self._there(lambda: self._host.socket(family, kind, protocol))

    def run(self, command: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """See `Host.run`."""
        return self._there(lambda: self._host.run(command, given))

    def sysctl(self, name: str) -> str:
        """See `Host.sysctl`."""
        return self._there(lambda: self._host.sysctl(name))

    def set_sysctl(self, name: str, value: str) -> None:
        """See `Host.set_sysctl`."""
        self._there(lambda: self._host.set_sysctl(name, value))

    def _there(self, act: Callable[[], T]) -> T:
        with _entered(self._fd):
            return act()


@contextmanager
def _entered(fd: int) -> Iterator[None]:
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(fd)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


def _enter(fd: int) -> None:
    """Move this thread to a network namespace; os.setns came with Python 3.12 only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _NEW_NETWORK) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot enter the network namespace of file descriptor {fd}: {os.strerror(code)}")
