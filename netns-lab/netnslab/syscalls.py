"""The system calls of namespaces(7) and inotify(7), which Python 3.11 lacks, each raising `KernelError` in words."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping
from types import MappingProxyType

from netnslab.errors import KernelError

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_NAMES = {
    CLONE_NEWUSER: "user",
    CLONE_NEWPID: "PID",
    CLONE_NEWNET: "network",
    CLONE_NEWNS: "mount",
    CLONE_NEWUTS: "UTS",
}
_LIMITED = "as many as user.max_*_namespaces allows are there already"  # what the kernel means by ENOSPC here
_IN_MODIFY = 2
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace behind `fd`; `kind` is a CLONE_NEW* the namespace must be of."""
    _check(_libc.setns(fd, kind), f"entering the namespace behind descriptor {fd}")


def unshare(kinds: int) -> None:
    """Give the calling thread new namespaces of the given CLONE_NEW* kinds (a PID namespace: its next child)."""
    wanted = ", ".join(name for kind, name in _NAMES.items() if kinds & kind)
    explanations = {errno.ENOSPC: _LIMITED, errno.EUSERS: _LIMITED}
    _check(_libc.unshare(kinds), f"creating namespaces ({wanted})", explanations)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Attach a file system to the tree at `target`, with MS_* flags."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None)
    _check(_libc.mount(*arguments), f"mounting {source} on {target}")


def inotify() -> int:
    """A descriptor that tells of changes in files (inotify(7)), without waiting."""
    fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    _check(min(fd, 0), "asking for inotify")
    return fd


def watch_file(fd: int, path: str) -> int:
    """Have such a descriptor tell when a file is written to; gives the number of the watch."""
    number: int = _libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY)
    _check(min(number, 0), f"watching {path}")
    return number


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "becoming a subreaper")


def name_process(name: str) -> None:
    """Set the name that ps and top show: the first 15 bytes of `name`."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "naming the process")


def _check(result: int, tried: str, explanations: Mapping[int, str] = MappingProxyType({})) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise KernelError(tried, number, explanations.get(number, ""))
