"""Puts files and folders where a container looks for them, in its own mount namespace.

A container has the host's file system, in which there is often nothing at the path of a volume, and where nothing may
be made. There the nearest folder above is replaced, for this container only, by one that has everything in it that the
host's has, and can have more: for `/etc/app/conf` on a host without `/etc/app`, a new `/etc` with the host's files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from netnslab.errors import KernelError
from netnslab.syscalls import MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT, mount

Mount = tuple[str, str, bool]
"""What is mounted, the path in the container, and whether it is only for reading."""

_KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME  # the same numbers for mount(2)
_MS_RELATIME = 1 << 21


def attach(mounts: Iterable[Mount], stage: str) -> None:
    """Mount all of them. `stage` is a folder for a new root, should that be the one to be replaced.

    Raises OSError and KernelError.
    """
    free: set[str] = set()  # folders in which something may be made
    for source, path, read_only in sorted(mounts, key=lambda one: one[1].count("/")):
        target = _place(path, free, stage, folder=os.path.isdir(source))  # noqa: PTH112  # as text
        mount(source, target, flags=MS_BIND | MS_REC)
        if read_only:
            _forbid_writing(target)
        else:
            free.add(target)


def make_folder(path: str) -> None:
    """Have a folder at a path, of this mount namespace only where the host has none. Raises OSError, KernelError."""
    _place(path, set(), "", folder=True)


def _place(path: str, free: set[str], stage: str, *, folder: bool) -> str:
    """Have something at a path to mount on, and give what the path comes to."""
    target = os.path.realpath(path)
    if os.path.exists(target):  # noqa: PTH110  # as text
        return target
    above = next(str(one) for one in Path(target).parents if one.is_dir())
    if above not in free:
        _replace(above, stage)
        free.add(above)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if folder:
        Path(target).mkdir()
    else:
        Path(target).touch()
    return target


def _replace(folder: str, stage: str) -> None:
    """Put a folder in the place of another that has all that the other has."""
    new = stage if folder == "/" else folder
    old = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        names = os.listdir(folder)  # noqa: PTH208  # names
        mount("tmpfs", new, "tmpfs", data=f"mode={stat.S_IMODE(os.fstat(old).st_mode):o}")
        for name in names:
            with suppress(OSError, KernelError):  # one that cannot be had, or has gone meanwhile, is not there
                _show(f"/proc/self/fd/{old}/{name}", f"{new}/{name}")
    finally:
        os.close(old)
    if folder == "/":
        os.chroot(new)
        os.chdir("/")


def _show(source: str, target: str) -> None:
    """Have one entry of the old folder in the new one."""
    kind = os.lstat(source).st_mode
    if stat.S_ISLNK(kind):
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211  # as text
        return
    if stat.S_ISDIR(kind):
        Path(target).mkdir()
    else:
        Path(target).touch()
    mount(source, target, flags=MS_BIND | MS_REC)


def _forbid_writing(target: str) -> None:
    """Without root, what else the mount forbids has to be said again."""
    flags = os.statvfs(target).f_flag
    kept = (flags & _KEPT) | (_MS_RELATIME if flags & os.ST_RELATIME else 0)
    mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
