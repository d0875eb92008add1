"""The process that all containers are forked from, and the supervisor's end of the line to it.

The zygote is forked before the event loop starts and keeps the modules of the built-in workloads in memory, so a
container costs one fork and no start of an interpreter. It answers requests on a socket pair, each one datagram of
JSON with descriptors beside it (SCM_RIGHTS), and reports what became of its children:

    {"do": "run", "id": 1, ...Program fields}         -> {"id": 1, "pid": 7}, later {"id": 1, "code": 0}
    {"do": "signal", "id": 1, "signal": 15}           no answer: the exit is the answer

Only the zygote knows which of its children are still alive, so signals go through it: a process id is never used
after its process was reaped. When a container's first process ends, the rest of its process group is killed, and the
end is told when all of it has gone: what is started next finds ports and files let go of. What a command in a container
leaves behind runs on, as elsewhere, and so does what has left for a session or group of its own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

from netnslab import child
from netnslab.child import Program
from netnslab.syscalls import adopt_orphans, name_process

_DATAGRAM = 1 << 20
_MOST_DESCRIPTORS = 8


def fork(preload: Iterable[str], let_go: Callable[[], None] = lambda: None) -> socket.socket:
    """Fork the zygote and give the supervisor's end of its line.

    `preload` names the modules to import in it, and `let_go` is called there to close what it shall not have. Call
    this before there is an event loop or a thread.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _DATAGRAM)
    if os.fork():
        theirs.close()
        return ours
    ours.close()
    let_go()
    status = 1
    try:
        Zygote(theirs).serve(preload)
        status = 0
    finally:
        os._exit(status)


@dataclass(slots=True)
class Zygote:
    """The loop inside the zygote process: one child per request."""

    line: socket.socket
    children: dict[int, int] = field(default_factory=dict)  # process id -> request id
    whole: set[int] = field(default_factory=set)  # the process ids of those whose group ends with them
    ended: dict[int, dict[str, int]] = field(default_factory=dict)  # process group -> what is told when it is empty

    def serve(self, preload: Iterable[str]) -> None:
        """Answer requests until the supervisor's end of the line closes."""
        name_process("lab-zygote")
        adopt_orphans()
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for module in preload:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # a collection in a child must not touch, and so copy, the pages they all share
        with selectors.DefaultSelector() as selector:
            selector.register(self.line, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == woken:
                        os.read(woken, 4096)
                        self._reap()
                    elif not self._answer():
                        return

    def _answer(self) -> bool:
        """Take one request; False when the supervisor has gone."""
        data, descriptors, _, _ = socket.recv_fds(self.line, _DATAGRAM, _MOST_DESCRIPTORS)
        if not data:
            return False
        request = json.loads(data)
        if request["do"] == "signal":
            self._signal(request["id"], request["signal"])
        else:
            self._run(request["id"], Program(**request["program"]), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _run(self, number: int, program: Program, descriptors: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(program, descriptors)
        self.children[pid] = number
        if program.whole:
            self.whole.add(pid)
        self._tell({"id": number, "pid": pid})

    def _become(self, program: Program, descriptors: list[int]) -> NoReturn:
        """Turn this new process into the program, and never come back."""
        status = child.FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.line.detach()  # closed with the other descriptors that the program does not get
            status = child.run(program, descriptors)
        except SystemExit as end:
            status = child.exit_status(end)
        except BaseException as error:  # noqa: BLE001  # the outermost edge of a process: its last words go to its log
            child.report(program, error)
        finally:
            child.flush()
            os._exit(status)

    def _signal(self, number: int, which: int) -> None:
        """Signal the process group of a child; each child leads its own."""
        for pid, owner in self.children.items():
            if owner == number:
                try:
                    os.killpg(pid, which)
                except ProcessLookupError:
                    os.kill(pid, which)  # it has not yet become the leader of its own group

    def _reap(self) -> None:
        while pid := _ended():
            if pid in self.whole:
                with suppress(ProcessLookupError):  # it ended before it led a group
                    os.killpg(pid, signal.SIGKILL)  # not yet reaped, it keeps the number from being another's
            _, status = os.waitpid(pid, 0)
            number = self.children.pop(pid, None)
            if number is not None:  # otherwise an orphan that a container left behind
                self.ended[pid] = {"id": number, "code": os.waitstatus_to_exitcode(status)}
        for pid in [pid for pid in self.ended if pid not in self.whole or _is_empty(pid)]:
            self.whole.discard(pid)
            self._tell(self.ended.pop(pid))

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self.line.send(json.dumps(message).encode())
        except OSError:
            sys.exit(0)  # the supervisor has gone, and the kernel is ending this process too


def _ended() -> int:
    """A child that has ended and is still to be reaped, 0 where there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def _is_empty(group: int) -> bool:
    """Whether no process of a group whose leader was reaped is left; orphans have become children of this process."""
    try:
        os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def request(number: int, program: Program) -> bytes:
    """The datagram that asks for a program."""
    return json.dumps({"do": "run", "id": number, "program": asdict(program)}).encode()


def signal_request(number: int, which: int) -> bytes:
    """The datagram that asks for a signal to a program's process group."""
    return json.dumps({"do": "signal", "id": number, "signal": which}).encode()
