"""What tests leave running ends with them, however they end; where they ended well, it is their fault, and told.

pytest goes on in a child. This process, to which everything comes that outlives its own parent, waits for the child's
end, and ends what is left. A lab that a test started is one such process, and takes all that is in it along.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from netnslab import syscalls

GRACE = 3.0  # seconds for what is about to end by itself
_PR_SET_PDEATHSIG = 1


def guard() -> None:
    """Go on in a child process: who calls this is told nothing of the other, which ends as the child does."""
    syscalls.adopt_orphans()
    parent = os.getpid()
    child = os.fork()
    if child:
        os._exit(_watch(child))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, _interrupt)
    if os.getppid() != parent:
        _interrupt()


def _interrupt(_number: int = 0, _frame: FrameType | None = None) -> None:
    """End as after control-C: fixtures give back what they hold."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _watch(child: int) -> int:
    """Wait for the child, and give the exit code for both. What the terminal interrupts it interrupts in the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    status = None
    while status is None:
        ended, how = os.wait()
        if ended == child:
            status = os.waitstatus_to_exitcode(how)
    if status not in (0, 1):  # it was interrupted or killed
        _end_all()
        return status if status > 0 else 128 - status
    left = _after(GRACE)
    for line in left:
        sys.stderr.write(f"left running by the tests: {line}\n")
    _end_all()
    return 1 if left else status


def _after(seconds: float) -> list[str]:
    """Give who is still there, in words, once nobody is or the time is over."""
    end = time.monotonic() + seconds
    while _children() and time.monotonic() < end:
        _reap()
        time.sleep(0.02)
    return [f"{pid} {_command(pid)}" for pid in _children()]


def _end_all() -> None:
    """Kill every descendant: the children of whom we kill come to us."""
    while children := _children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        os.wait()
        _reap()


def _reap() -> None:
    while _children() and os.waitpid(-1, os.WNOHANG)[0]:
        pass


def _children() -> list[int]:
    """Give our children, those that ended and were not waited for included."""
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _parent(entry) == os.getpid()
    ]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return 0


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
