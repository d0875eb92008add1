"""Talks to a running lab: the command line's side of the control socket. Light to import."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from netnslab.errors import LabError, NotRunning
from netnslab.lock import Lock
from netnslab.state import LabFolder, labs

Json = dict[str, Any]

_DATAGRAM = 1 << 20
_ENDING_SECONDS = 10.0
_ANSWERED_SECONDS = 1.0  # after its process 1 was killed, a lab takes milliseconds to go
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class NotAnswering(LabError):
    """There are processes of the lab, but none listens on its socket: it is starting, or hangs."""


class Refused(LabError):
    """The lab answered with an error; `exit_code` is the one that goes with it."""

    def __init__(self, answer: Json) -> None:
        super().__init__(answer["error"])
        self.exit_code = answer["exit_code"]  # type: ignore[misc]  # the lab's own choice, per answer


def connect(folder: LabFolder) -> socket.socket:
    """Connect to a lab's control socket. Raises NotRunning, saying which labs there are, and NotAnswering."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(folder.control))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        if folder.running():
            raise NotAnswering(f"the lab {folder.name!r} is starting, or hangs: its log is {folder.log}") from None
        raise _absent(folder) from None
    return connection


def _absent(folder: LabFolder) -> NotRunning:
    """The error that says which labs there are; what is left of this one is removed."""
    folder.bury()
    others = [lab.name for lab in labs()]
    hint = f"; running: {', '.join(others)}" if others else ""
    return NotRunning(f"no lab {folder.name!r} runs{hint}; start it with `netns-lab up{folder.flag}`{folder.epitaph()}")


def ask(folder: LabFolder, request: Json) -> Json:
    """Put one question to a lab. Raises NotRunning and Refused."""
    with connect(folder) as connection:
        return _answer(connection, request)


def execute(
    folder: LabFolder, target: str, argv: list[str], descriptors: tuple[int, int, int], *, terminal: bool
) -> int:
    """Run a command in a lab with the given descriptors as 0, 1 and 2. Gives its exit code.

    Signals that reach this process meanwhile go to the command. Raises NotRunning and Refused.
    """
    env = {name: os.environ[name] for name in ("TERM", "LANG", "COLORTERM", "HOME") if name in os.environ}
    request = {"do": "exec", "target": target, "argv": argv, "env": env, "cwd": str(Path.cwd()), "terminal": terminal}
    with connect(folder) as connection:
        _answer(connection, request, descriptors)
        for number in _PASSED_ON:
            signal.signal(
                number, lambda which, _: connection.send(json.dumps({"do": "signal", "signal": which}).encode())
            )
        return int(_answer(connection)["code"])


def end(folder: LabFolder) -> None:
    """End a lab and wait until all of it is gone, also where it is only starting. Raises NotRunning.

    Killing its process 1 is enough: the kernel does the rest, and there is nothing to be left half done.
    """
    lock = folder.lock()
    if lock is None:
        raise _absent(folder)
    with lock:
        patience = 0.0
        with suppress(NotAnswering):
            one = process_of(folder)
            if lock.is_held_by(one):  # and is not that of a lab which has taken the name meanwhile
                kill(one)
                patience = _ANSWERED_SECONDS
        finish(folder, lock, patience)


def finish(folder: LabFolder, lock: Lock, patience: float) -> None:
    """Wait until no process of a lab is left, and remove its folder. Those left after `patience` seconds are ended.

    Raises LabError where that does not help.
    """
    begun = time.monotonic()
    told: set[int] = set()
    while lock.taken:
        waited = time.monotonic() - begun
        left = lock.holders() if waited > patience else []
        if waited > _ENDING_SECONDS:
            raise LabError(f"processes of the lab {folder.name!r} do not end: {', '.join(map(str, left))}")
        for pid in set(left) - told:  # once: who puts things in order is not to be interrupted in that
            _end_holder(pid)
        told.update(left)
        time.sleep(0.005)
    folder.remove(lock)


def _end_holder(pid: int) -> None:
    """End a process of a lab without a control socket; the command that starts it may still put things in order."""
    with suppress(OSError):
        inside = os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # as text
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL if inside else signal.SIGTERM)


def process_of(folder: LabFolder) -> int:
    """The process id, on the host, of a lab's process 1: the one that listens on its socket. Raises NotRunning."""
    with connect(folder) as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def kill(pid: int) -> None:
    """End a process at once, and wait until it is gone."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], _ENDING_SECONDS)
    finally:
        os.close(process)


def _answer(connection: socket.socket, request: Json | None = None, descriptors: tuple[int, ...] = ()) -> Json:
    """The next answer, to a request that is sent first where one is given."""
    try:
        if request is not None:
            socket.send_fds(connection, [json.dumps(request).encode()], descriptors)
        data = connection.recv(_DATAGRAM)
    except (ConnectionResetError, BrokenPipeError):
        data = b""
    if not data:
        raise LabError("the lab ended in the middle of its answer")
    answer: Json = json.loads(data)
    if "error" in answer:
        raise Refused(answer)
    return answer
