"""The lab's own process: how it comes to be process 1 of its namespaces, and what it does there.

`launch` forks twice. The first child leaves the caller's session, makes the namespaces and ends; the second is
process 1 of the new PID namespace. When that one ends, for whatever reason, the kernel ends every process of the lab,
and with them go the network namespaces, their interfaces and rules.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

from netnslab import mounting, syscalls
from netnslab.caller import Caller
from netnslab.config import Config
from netnslab.errors import KernelError, Unsupported
from netnslab.kubelet.volumespec import ACCOUNT_MOUNT
from netnslab.lock import Lock
from netnslab.state import LabFolder

_NEW = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS
_COLLECTIONS = (10_000, 20, 20)  # new objects, young collections, middle ones: until the next collection of each kind
_PRELOADED = ("netnslab.echo", "kdns.cli", "kingress.cli", "kapi.source", "kapi.kubeconfig")


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the command line hands to the lab's process: descriptors of the host's namespace, and whose the lab is."""

    lock: Lock
    api: socket.socket
    ingress: socket.socket
    progress: socket.socket
    connections: tuple[int, ...]
    user: int

    def close(self) -> None:
        """Let go of all of it, in a process that is not to have it."""
        for descriptor in self.connections:
            os.close(descriptor)
        for one in (self.lock, self.api, self.ingress, self.progress):
            one.close()


def launch(config: Config, folder: LabFolder, inherited: Inherited, listener: socket.socket) -> None:
    """Fork the lab's process. What it has to say comes as JSON lines over `listener`, the other end of `progress`."""
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    status = 1
    try:
        listener.close()  # so that its end shows on `progress` when the caller goes
        os.setsid()
        _redirect(folder)
        _leave()
        if os.fork():
            os._exit(0)
        _main(config, folder, inherited)
        status = 0
    except BaseException as error:  # noqa: BLE001  # the outermost edge of a process: its last words
        Caller(inherited.progress).fail(error)
    finally:
        os._exit(status)


def _redirect(folder: LabFolder) -> None:
    """Let the terminal go: standard input is empty, standard output and error are the lab's log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.chdir("/")
    os.umask(0o022)


def _leave() -> None:
    """Leave the host's namespaces; without root, into a user namespace in which this user is root."""
    if os.geteuid() != 0:
        user, group = os.geteuid(), os.getegid()
        try:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
        except KernelError as error:
            raise Unsupported(
                f"this machine gives users without privileges no namespaces ({error}): run netns-lab as root, or "
                "allow them; `netns-lab doctor` says how"
            ) from error
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {user} 1")
        _write("/proc/self/gid_map", f"0 {group} 1")
    try:
        syscalls.unshare(_NEW)
    except KernelError as error:
        raise Unsupported(
            f"this machine does not let the lab make its namespaces ({error}): in a container, that takes one with "
            "all privileges; `netns-lab doctor` tells more"
        ) from error


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123  # pathlib opens with flags that these files refuse
        file.write(text)


def _main(config: Config, folder: LabFolder, inherited: Inherited) -> None:
    """What process 1 does."""
    for number in (signal.SIGTERM, signal.SIGINT):  # the caller's handlers were inherited
        signal.signal(number, signal.SIG_DFL)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    with suppress(KernelError):  # a container may forbid it: then /proc shows the host's processes, and all else works
        syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    mounting.make_folder(ACCOUNT_MOUNT.path)  # once, for all pods
    socket.sethostname(f"netns-lab-{config.name}")
    syscalls.name_process(f"lab {config.name}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    import aiohttp  # noqa: F401, PLC0415  # what the zygote and this process share is imported once, before the fork

    from netnslab import zygote  # noqa: PLC0415  # as above

    line = zygote.fork(_PRELOADED, inherited.close)
    from netnslab import running  # noqa: PLC0415  # the rest, while the zygote imports its own

    gc.freeze()  # what is imported is no garbage, and looking through it again and again would hold up requests,
    gc.set_threshold(*_COLLECTIONS)  # as would looking through a whole cluster for each few hundred new objects
    caller = Caller(inherited.progress)
    caller.tell("started")
    asyncio.run(running.run(config, folder, inherited, line, caller))
