"""Starts labs, from the command line's process. Light: the lab's own process imports the rest."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from netnslab import owners, remote
from netnslab.config import Config
from netnslab.errors import LabError, NotRunning, NotStarted
from netnslab.lock import Lock
from netnslab.state import LabFolder
from netnslab.supervisor import Inherited, launch

Json = dict[str, Any]
Progress = Callable[[str, float], None]

_LOCALHOST = "127.0.0.1"
_BACKLOG = 1024


class Failed(LabError):
    """The lab ended while it was starting, and said why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # the one of the error that ended it


def up(config: Config, *, api_port: int = 0, ingress_port: int = 0, progress: Progress = lambda *_: None) -> Json:
    """Start a lab, wait until it is up, and give its status. A port of 0 is one that is free.

    `progress` is called with each step that is done and the seconds since the start. Raises AlreadyRunning, LabError
    for a port that is taken, and whatever the lab ended with.
    """
    folder = LabFolder.of(config.name)
    begun = time.monotonic()
    lock = folder.claim()
    try:
        with _listening(api_port) as api, _listening(ingress_port) as ingress:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    inherited = Inherited(lock, api, ingress, theirs, owners.opened(), os.getuid())
                    launch(config, folder, inherited, ours)
                _follow(ours, folder, lambda step: progress(step, time.monotonic() - begun))
    except BaseException:
        _clear(folder, lock)
        raise
    lock.close()
    try:
        status: Json = remote.ask(folder, {"do": "status"})["status"]
    except NotRunning as error:
        raise NotStarted(f"the lab was up, and was ended at once: {error}") from error
    return status


def _follow(progress: socket.socket, folder: LabFolder, done: Callable[[str], None]) -> None:
    """Read what the lab tells about its start, until it is up. Raises Failed and NotStarted."""
    step = ""
    with progress.makefile() as lines:
        for line in lines:
            message = json.loads(line)
            if "error" in message:
                raise Failed(message["error"], message["exit_code"])
            step = message["step"]
            done(step)
    if step != "up":
        raise NotStarted(f"the lab ended while it was starting, after {step or 'nothing'!r}; its log:\n{_tail(folder)}")


def _tail(folder: LabFolder, lines: int = 15) -> str:
    """The end of the log, which goes with the folder."""
    try:
        return "\n".join(folder.log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"


def _clear(folder: LabFolder, lock: Lock) -> None:
    """Leave nothing of a lab whose start failed or was interrupted, and touch no other that takes its name."""
    with lock.again() as again:
        lock.close()
        with suppress(LabError):
            remote.finish(folder, again, patience=0.0)


def _listening(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((_LOCALHOST, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise LabError(f"port {port} of {_LOCALHOST} cannot be used: {error}; choose another, or 0") from error
    sock.listen(_BACKLOG)
    return sock
