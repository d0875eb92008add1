"""Starts a container: its command, a built-in, or the echo server in its place."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from netnslab.child import Program
from netnslab.errors import LabError
from netnslab.kubelet import environment, images, volumefiles
from netnslab.kubelet.images import Kind
from netnslab.kubelet.podspec import Container, PodSpec
from netnslab.kubelet.sandbox import Sandbox
from netnslab.kubelet.standin import Control
from netnslab.kubelet.surroundings import PATH, Surroundings, executable
from netnslab.mounting import Mount
from netnslab.processes import Process

HANDED = "netns-lab.kproxy.io/socket"  # annotation: which of the host's sockets a built-in finds as descriptor 3
_FILES = {"/etc/resolv.conf": "resolv.conf", "/etc/hosts": "hosts", "/root/.kube/config": "kubeconfig"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where and for whom a container runs.

    Its variables and mounts are those of its start, and stay for whatever is run in it afterwards.
    """

    surroundings: Surroundings
    pod: PodSpec
    container: Container
    sandbox: Sandbox
    variables: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()

    @property
    def running(self) -> images.Running:
        """What is run for it."""
        return images.resolve(self.container, executable, once=self.pod.once and self.container in self.pod.containers)


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a container; `control` is the line to it where it is a stand-in."""

    process: Process
    control: Control | None = None

    async def listen(self, place: Place) -> list[str]:
        """Have a stand-in answer on all ports it should by now, and give its complaints."""
        if self.control is None or not self.process.running:
            return []
        wanted = images.listening_ports(place.pod, place.container, place.surroundings.services.values())
        fresh = wanted - self.control.told
        return await self.control.listen(fresh) + images.undeclared(place.pod, place.container, fresh)

    def close(self) -> None:
        """Let go of what belongs to a run that has ended."""
        if self.control is not None:
            self.control.close()


def prepared(place: Place) -> Place:
    """The place with what a container is to find there, as of now.

    Raises `environment.Missing` for an object that a variable refers to, or a volume that is not there.
    """
    found = variables(place)
    mounts = volumefiles.mounts(place.sandbox, place.pod.volumes, place.container, found)
    return replace(place, variables=found, mounts=mounts)


async def start(place: Place) -> Instance:
    """Start a container in a place that is prepared; a stand-in is started when it listens.

    Raises LabError when it cannot be started.
    """
    running = place.running
    place.surroundings.log_times.begin(place.sandbox.log(place.container.name))
    if running.kind is not Kind.STAND_IN:
        entry = running.entry
        argv = _arguments(place, running)
        handed = _handed(place) if entry else []
        begun = program(place, argv, entry=entry, extra=len(handed), whole=True)
        return Instance(await place.surroundings.processes.start(begun, [place.sandbox.namespace.fd, *handed]))
    control = Control()
    try:
        begun = program(place, _echo(place), entry=running.entry, extra=1, whole=True)
        descriptors = [place.sandbox.namespace.fd, control.theirs.fileno()]
        instance = Instance(await place.surroundings.processes.start(begun, descriptors), control)
    except BaseException:
        control.close()
        raise
    control.theirs.close()
    return instance


async def execute(place: Place, command: Sequence[str]) -> int:
    """Run a command in a container and give its exit code; what it prints is nobody's log."""
    begun = replace(program(place, list(command)), log="")
    process = await place.surroundings.processes.start(begun, [place.sandbox.namespace.fd])
    try:
        return await process.wait()
    finally:
        process.signal(signal.SIGKILL)


def program(place: Place, argv: list[str], *, entry: str = "", extra: int = 0, whole: bool = False) -> Program:
    """A program as it runs in a container, or with `whole` as the container: its variables, files, host name, log."""
    return Program(
        argv,
        entry=entry,
        env=dict(place.variables),
        cwd=_directory(place),
        hostname=place.pod.hostname,
        files=files(place.sandbox),
        mounts=list(place.mounts),
        stage=str(place.sandbox.stage),
        log=str(place.sandbox.log(place.container.name)),
        extra=extra,
        whole=whole,
    )


def variables(place: Place) -> dict[str, str]:
    """The whole environment of a container. Raises `environment.Missing`."""
    around = place.surroundings
    own = environment.variables(place.pod, place.container, around.placement(place.sandbox), around.sources())
    home = "/root" if os.access("/root", os.X_OK) else "/"  # without root, a lab may not look into root's
    return {"PATH": PATH, "HOME": home, "HOSTNAME": place.pod.hostname} | own


def prompt(hostname: str) -> dict[str, str]:
    """What keeps a shell's prompt short, though the path of the working directory is long."""
    return {"PS1": f"{hostname} # ", "PROMPT_DIRTRIM": "1"}


def files(sandbox: Sandbox) -> dict[str, str]:
    """The pod's own files, by the path they have in its containers."""
    return {path: str(sandbox.folder / name) for path, name in _FILES.items()}


def _arguments(place: Place, running: images.Running) -> list[str]:
    program = (running.entry.partition(".")[0],) if running.entry else running.program
    return [environment.expand(word, place.variables) for word in (*program, *place.container.args)]


def _echo(place: Place) -> list[str]:
    pod = place.pod
    told = {
        "--pod": pod.name,
        "--namespace": pod.namespace,
        "--node": place.surroundings.node.name,
        "--control-fd": "3",
    }
    return ["echo", *(f"{option}={value}" for option, value in told.items())]


def _handed(place: Place) -> list[int]:
    name = place.pod.annotations.get(HANDED)
    if name is None:
        return []
    sock = place.surroundings.handed.get(name)
    if sock is None:
        raise LabError(f"the annotation {HANDED} names {name!r}, which is none of {sorted(place.surroundings.handed)}")
    return [sock.fileno()]


def _directory(place: Place) -> str:
    """The working directory: the container's where the host has it, else a folder of the pod's own to write in."""
    wanted = place.container.cwd
    if wanted and Path(wanted).is_dir() and os.access(wanted, os.X_OK):
        return wanted
    return str(place.sandbox.folder / "work")
