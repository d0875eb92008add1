"""What to run for a container, when there are no images: a built-in, the host's command, or the echo server. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from kapi.network import Service
from netnslab.kubelet.podspec import Container, PodSpec, ProbeKind

_PREFIX = "kproxy.io/"
ECHO = "netnslab.echo:main"
BUILT_IN = {"kdns": "kdns.cli:main", "kingress": "kingress.cli:main", "echo": ECHO}

_SYSTEMS = frozenset({"alpine", "busybox", "busyboxplus", "centos", "debian", "fedora", "rockylinux", "ubuntu"})
_TOOLS = _SYSTEMS | {"bash", "curl", "dnsutils", "jessie-dnsutils", "netshoot", "network-multitool"}  # args: a command
_CURL = "curl"  # the image and its program, to which all args go that are no command


class Kind(Enum):
    """How a container is run."""

    BUILT_IN = auto()  # a workload of this project, forked with its modules already in memory
    COMMAND = auto()  # the container's own command, from the host's file system
    STAND_IN = auto()  # the echo server, in place of an image that cannot run here


@dataclass(frozen=True, slots=True)
class Running:
    """What a container is replaced by: the kind, and the entry point where it is not a command of the host.

    `program` are the words of a command that come before the container's args.
    """

    kind: Kind
    entry: str = ""
    program: tuple[str, ...] = ()


def resolve(container: Container, executable: Callable[[str], bool], *, once: bool = False) -> Running:
    """Decide how to run a container; `executable` says whether the host has a command.

    In a pod that is made for `once`, args that are a command are meant as one, whatever the image is.
    """
    image = container.image.partition("@")[0]
    if image.startswith(_PREFIX):
        name = image.removeprefix(_PREFIX).partition(":")[0]
        if name in BUILT_IN and (name != "echo" or container.args):
            return Running(Kind.BUILT_IN, BUILT_IN[name])
    program, args, name = container.command, container.args, _name(image)
    if program:
        runs = executable(program[0])
    else:
        runs = bool(args) and (once or name in _TOOLS) and executable(args[0])
        if args and not runs and name == _CURL:
            program, runs = (_CURL,), executable(_CURL)
    return Running(Kind.COMMAND, program=program) if runs else Running(Kind.STAND_IN, ECHO)


def _name(image: str) -> str:
    """The last part of an image's name, without registry, folder and version."""
    return image.rpartition("/")[2].partition(":")[0]


def announced(container: Container) -> bool:
    """Whether people should be told that the echo server stands in: not where they asked for it."""
    return not container.image.startswith(f"{_PREFIX}echo")


def listening_ports(pod: PodSpec, container: Container, services: Iterable[Service]) -> frozenset[tuple[str, int]]:
    """Which ports a stand-in has to answer on, as ("tcp" or "udp", number).

    Those the container declares, those its probes ask, and, for the pod's first container, those that only a Service
    names. Ports of other containers stay theirs.
    """
    found = {(port.protocol.lower(), port.number) for port in container.ports}
    asking = (ProbeKind.HTTP, ProbeKind.TCP, ProbeKind.GRPC)
    found |= {("tcp", container.port(probe.port)) for probe in container.probes if probe.kind in asking}
    if container == pod.containers[0]:
        others = {(port.protocol.lower(), port.number) for other in pod.containers[1:] for port in other.ports}
        found |= _service_ports(pod, services) - others
    return frozenset((kind, number) for kind, number in found if number and kind in ("tcp", "udp"))


def undeclared(pod: PodSpec, container: Container, ports: frozenset[tuple[str, int]]) -> list[str]:
    """What to say of the ports, of those a stand-in answers on, that a Service names and the container does not have.

    A container that declares none at all may well listen on any, and who asks for the echo server knows that it does.
    """
    if not container.ports or not announced(container):
        return []
    return [
        f"it answers on port {number}/{kind.upper()}, which a Service names and container {container.name} does not "
        "declare: the image itself might not listen there"
        for kind, number in sorted(ports - listening_ports(pod, container, ()))
    ]


def selects(service: Service, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a Service's selector matches a pod."""
    if service.namespace != namespace or not service.selector:
        return False
    return all(labels.get(key) == value for key, value in service.selector.items())


def _service_ports(pod: PodSpec, services: Iterable[Service]) -> set[tuple[str, int]]:
    return {
        (port.protocol.lower(), port.target_port)
        for service in services
        if selects(service, pod.namespace, pod.labels)
        for port in service.ports
        if isinstance(port.target_port, int)
    }
