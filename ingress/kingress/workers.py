"""Several processes that serve the same sockets, and a restart that nobody notices.

The first process opens the sockets and forks the workers. A worker that dies is started again on its own sockets: what
waited there to be accepted is served. With a handover path, the next ingress that is started with the same path is
given the sockets; once it serves, this one accepts no more and ends after the responses that are under way.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kingress.listening import Listener

LEAVE = signal.SIGUSR1  # to a worker: end, but another ingress is there, so leave the status of the Ingresses alone

_READY = b"ready"
_MOST = 64  # sockets that can be handed over
_AGAIN = 0.5  # seconds until a worker that died is started again
_Work = Callable[[int, Callable[[], None]], int]


def take_over(path: Path) -> tuple[list[Listener], socket.socket | None]:
    """Ask the ingress that serves at `path` for its sockets; gives none where there is no such ingress."""
    asking = socket.socket(socket.AF_UNIX)
    try:
        asking.settimeout(5)
        asking.connect(str(path))
        kinds, numbers, _, _ = socket.recv_fds(asking, 2 * _MOST, _MOST)
    except OSError:
        asking.close()
        return [], None
    pairs = zip(numbers, kinds[::2], kinds[1::2], strict=True)
    return [Listener(socket.socket(fileno=number), bool(tls), share - 1) for number, tls, share in pairs], asking


class Workers:
    """Runs `work(index, ready)` in `count` processes until it is told to stop. All of it is synchronous."""

    def __init__(self, count: int, work: _Work, sockets: list[Listener], path: Path | None = None) -> None:
        self._count = count
        self._work = work
        self._sockets = sockets
        self._path = path
        self._pids: dict[int, int] = {}  # process id -> index
        self._due: dict[int, float] = {}  # index -> when it is to be started again
        self._stopping = False
        self._code = 0

    def run(self, before: socket.socket | None = None) -> int:
        """Run until a signal comes; `before` is told once all serve. Gives the exit code."""
        woken, wake = os.pipe()
        told, tell = os.pipe()
        for end in (woken, wake, told):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        serving = 0
        with self._door() as door:
            for index in range(self._count):
                self._start(index, tell)
            poll = select.poll()
            for each in (woken, told, *([door.fileno()] if door else [])):
                poll.register(each, select.POLLIN)
            while self._pids or (self._due and not self._stopping):
                for ready, _ in poll.poll(100):
                    if ready == woken:
                        self._signals(os.read(woken, 64))
                    elif ready == told:
                        serving += len(os.read(told, 64))
                    elif door is not None:
                        self._hand_over(door)
                if before is not None and serving >= self._count:
                    before.send(_READY)
                    before.close()
                    before = None
                self._restart(tell)
        return self._code

    @contextlib.contextmanager
    def _door(self) -> Iterator[socket.socket | None]:
        """Listen at the handover path, for the owner of this process alone."""
        if self._path is None:
            yield None
            return
        with socket.socket(socket.AF_UNIX) as door:
            beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            before = os.umask(0o177)
            door.bind(str(beside))
            os.umask(before)
            door.listen(1)
            beside.replace(self._path)  # at once: whoever looks finds the old one or this one
            yield door

    def _hand_over(self, door: socket.socket) -> None:
        """Give the sockets to the next ingress; once it serves, end."""
        asked, _ = door.accept()
        with asked, contextlib.suppress(OSError):
            _, uid, _ = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid not in (0, os.getuid()):
                return
            kinds = bytes(byte for each in self._sockets for byte in (each.secure, each.share + 1))
            socket.send_fds(asked, [kinds], [each.sock.fileno() for each in self._sockets])
            asked.settimeout(60)
            if asked.recv(len(_READY)) == _READY:
                self._stop(LEAVE)

    def _signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stop(signal.SIGTERM)
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            index = self._pids.pop(pid)
            if self._stopping:
                self._code = self._code or os.waitstatus_to_exitcode(status)
            else:
                print(f"kingress: worker {index} ended ({os.waitstatus_to_exitcode(status)})", file=sys.stderr)  # noqa: T201  # its log
                self._due[index] = time.monotonic() + _AGAIN

    def _stop(self, number: signal.Signals) -> None:
        self._stopping = True
        for pid in self._pids:
            os.kill(pid, number)

    def _restart(self, tell: int) -> None:
        for index in [index for index, due in self._due.items() if due <= time.monotonic()]:
            del self._due[index]
            if not self._stopping:
                self._start(index, tell)

    def _start(self, index: int, tell: int) -> None:
        pid = os.fork()
        if pid:
            self._pids[pid] = index
            return
        signal.set_wakeup_fd(-1)
        code = 1
        try:
            code = self._work(index, lambda: _say(tell))
        finally:
            sys.stdout.flush()
            os._exit(code)


def _say(tell: int) -> None:
    os.write(tell, b".")
