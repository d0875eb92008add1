"""What a freshly forked process does to become a container: namespaces, files, descriptors, then the program itself."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import logging
import os
import signal
import socket
import sys
import termios
import traceback
from dataclasses import dataclass, field

from netnslab import mounting
from netnslab.errors import KernelError
from netnslab.mounting import Mount
from netnslab.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    mount,
    name_process,
    setns,
    unshare,
)

FAILED = 1
NOT_EXECUTABLE = 126  # the shell's words for a command that cannot be run, and one that is not there
NOT_FOUND = 127

_FIRST_EXTRA = 3  # descriptors that a program inherits are numbered from here


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and in what surroundings. It travels as JSON, so its values are plain.

    The descriptors that go with it are, in order: the network namespace; then, with `standard`, its standard input,
    output and error; then `extra` ones, which it finds from 3 on.
    """

    argv: list[str]
    entry: str = ""  # "module:function" of a built-in, called with argv[1:]; empty means argv is executed
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    hostname: str = ""
    files: dict[str, str] = field(default_factory=dict)  # path in the container -> path of the file bound over it
    mounts: list[Mount] = field(default_factory=list)  # volumes
    stage: str = ""  # a folder for a root that has places for them, should the host's have none
    log: str = ""  # where standard output and error go; empty with `standard`
    standard: bool = False
    extra: int = 0
    terminal: bool = False  # standard input is a terminal, to be the controlling one
    whole: bool = False  # a container: what is left of its process group is ended with it, and its end told then


def run(program: Program, descriptors: list[int]) -> int:
    """Become the program. Returns the exit status of a built-in; an executed command never comes back."""
    os.setsid()
    namespace, rest = descriptors[0], descriptors[1:]
    setns(namespace, CLONE_NEWNET)
    unshare(CLONE_NEWNS | CLONE_NEWUTS)
    if program.hostname:
        socket.sethostname(program.hostname)
    _bind(program)
    _arrange(program, rest)
    os.environ.clear()
    os.environ.update(program.env)
    os.chdir(program.cwd)
    if program.terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    return _call(program) if program.entry else _execute(program)


def report(program: Program, error: BaseException) -> None:
    """Write why the program could not be run, or how a built-in failed, to its standard error."""
    if isinstance(error, (KernelError, OSError)):
        print(f"{program.argv[0]}: {error}", file=sys.stderr)  # noqa: T201  # this is the container's own output
    else:
        traceback.print_exception(error)


def exit_status(end: SystemExit) -> int:
    """What `sys.exit` with this value means as an exit status."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code
    print(end.code, file=sys.stderr)  # noqa: T201  # as the interpreter itself does
    return FAILED


def flush() -> None:
    """Write out what Python still holds back."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _bind(program: Program) -> None:
    """Put the pod's own files over the host's, and its volumes in their places, for this process only."""
    mounting.attach(program.mounts, program.stage)
    for path, source in program.files.items():
        if os.path.exists(path):  # noqa: PTH110  # False as well where this user may not look
            mount(source, os.path.realpath(path), flags=MS_BIND)
    if not program.entry:
        # sysfs shows the network namespace it was mounted in. A user namespace may be refused it: then
        # /sys/class/net shows the wrong links, and everything that asks the kernel itself still works.
        with contextlib.suppress(KernelError):
            mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _arrange(program: Program, rest: list[int]) -> None:
    """Number the descriptors: 0 to 2, then the extra ones; close everything else."""
    standard = rest[:3] if program.standard else [os.open(os.devnull, os.O_RDONLY), *[_log(program)] * 2]
    extra = rest[3:] if program.standard else rest
    wanted = [*standard, *extra]
    parked = [fcntl.fcntl(fd, fcntl.F_DUPFD, _FIRST_EXTRA + len(wanted)) for fd in wanted]
    for number, fd in enumerate(parked):
        os.dup2(fd, number)
    os.closerange(len(wanted), 1 << 20)
    # The interpreter's own streams still have whatever the zygote's had.
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115


def _log(program: Program) -> int:
    return os.open(program.log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def _call(program: Program) -> int:
    name_process(program.argv[0])
    logging.getLogger().handlers.clear()  # those of the supervisor, whose log is not this program's
    logging.getLogger().setLevel(logging.WARNING)
    sys.argv = list(program.argv)
    module, _, function = program.entry.partition(":")
    return int(getattr(importlib.import_module(module), function)(program.argv[1:]) or 0)


def _execute(program: Program) -> int:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and ignoring is inherited
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(program.argv[0], program.argv, program.env)  # noqa: S606  # the whole point
    except FileNotFoundError as error:
        print(f"{program.argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201  # as above
        return NOT_FOUND
    except OSError as error:
        print(f"{program.argv[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201  # as above
        return NOT_EXECUTABLE
