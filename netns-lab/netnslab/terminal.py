"""Runs a command of a lab on this terminal, as if it were a local one: job control, window size, keys and all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator

from netnslab import remote
from netnslab.state import LabFolder


def execute(folder: LabFolder, target: str, argv: list[str]) -> int:
    """Run a command in a lab and give its exit code.

    On a terminal the command gets a terminal of its own, and this process carries bytes between the two; otherwise
    it gets this process's very descriptors.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return remote.execute(folder, target, argv, (0, 1, 2), terminal=False)
    ours, theirs = pty.openpty()
    _copy_size(ours)
    signal.signal(signal.SIGWINCH, lambda *_: _copy_size(ours))
    stopped, stop = os.pipe()
    with _raw(0):
        carrying = threading.Thread(target=_carry, args=(ours, stopped), daemon=True)
        carrying.start()
        try:
            return remote.execute(folder, target, argv, (theirs, theirs, theirs), terminal=True)
        finally:
            os.close(theirs)
            os.close(stop)
            carrying.join(1)


def _carry(ours: int, stopped: int) -> None:
    """Carry keys to the command and its output back, until it has ended and all output is shown."""
    sources = [0, ours, stopped]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if ours in ready:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # EIO: nobody has the other end open any more
                return
            os.write(1, data)
        elif stopped in ready:
            return
        if 0 in ready:
            keys = os.read(0, 4096)
            if keys:
                os.write(ours, keys)
            else:
                sources.remove(0)


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _copy_size(fd: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8))
