"""Network namespaces that belong to this process, and batches of changes to them.

A namespace here has no name in the file system: it is a file descriptor, and goes when the last process, socket and
descriptor in it go. Nothing in this module ever changes the namespace that the process itself lives in.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket as Socket  # noqa: N812  # Namespace has a method called socket
from types import MappingProxyType

from netnslab import rtnetlink
from netnslab.errors import KernelError
from netnslab.rtnetlink import Message
from netnslab.steps import (
    Assign,
    Attach,
    Bridge,
    RemoveLink,
    RemoveLinks,
    Route,
    Step,
    Sysctl,
    Unroute,
    Up,
    Veth,
)
from netnslab.syscalls import CLONE_NEWNET, setns, unshare

_OWN = "/proc/thread-self/ns/net"
_LOOPBACK = 1
_FIRST_INDEX = 100  # below it the kernel chooses indexes, for links that others make
_LEAVING = 0x6B70  # the group of links that are removed together
_CHUNK = 100  # requests in one batch: their acknowledgements must fit the socket's receive buffer
_SOL_NETLINK, _NETLINK_EXT_ACK, _NETLINK_CAP_ACK = 270, 11, 10


class Namespace:
    """One network namespace, held by the file descriptor `fd`. Use it as a context manager, or call `close`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._links: dict[str, int] = {"lo": _LOOPBACK}
        self._next_index = _FIRST_INDEX
        self._netlink: Socket | None = None
        self._sequence = 0

    @classmethod
    def create(cls) -> Namespace:
        """Make a new, empty namespace. Needs CAP_SYS_ADMIN in this process's user namespace."""
        with _returning():
            unshare(CLONE_NEWNET)
            return cls(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the namespace; the kernel removes it when nothing else is in it."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in this namespace for a block of synchronous code, on this thread; never across an `await`."""
        with _returning():
            setns(self.fd, CLONE_NEWNET)
            yield

    def socket(self, family: int, type: int, proto: int = 0) -> Socket:  # noqa: A002  # socket.socket's own word
        """Make a socket that lives in this namespace, wherever the process itself is."""
        with self.entered():
            return socket.socket(family, type, proto)

    def apply(self, steps: Iterable[Step], peers: Mapping[str, Namespace] = MappingProxyType({})) -> None:
        """Carry out steps in order; `peers` are the namespaces that a `Veth` names.

        The far end of a veth pair comes up last: the kernel opens it only when the pair is whole. Raises KernelError
        naming the first step that the kernel refused.
        """
        batch: list[tuple[Step, Message]] = []
        far_ends: list[tuple[Namespace, Up]] = []
        for step in steps:
            if isinstance(step, Sysctl):
                self._send(batch)
                batch = []
                self.sysctl(step.name, step.value, optional=step.optional)
                continue
            batch += [(step, message) for message in self._messages(step, peers)]
            if isinstance(step, Veth):
                far_ends.append((peers[step.peer_namespace], Up(step.peer)))
        self._send(batch)
        for namespace, up in far_ends:
            namespace.apply([up])

    def sysctl(self, name: str, value: str, *, optional: bool = False) -> None:
        """Write `/proc/sys/<name>` as this namespace sees it; an `optional` one may not exist."""
        with self.entered():
            try:
                if optional and not Path("/proc/sys", name).exists():
                    return
                Path("/proc/sys", name).write_text(value)
            except OSError as error:
                raise KernelError(f"setting {name} to {value}", error.errno or 0) from error

    def index(self, link: str) -> int:
        """Give the interface index of a link."""
        if link not in self._links:
            with self.entered():
                try:
                    self._links[link] = socket.if_nametoindex(link)
                except OSError as error:
                    raise KernelError(f"looking for the link {link}", errno.ENODEV) from error
        return self._links[link]

    def new_index(self, name: str) -> int:
        """Choose the index of a link about to be made, so that later steps of its batch can refer to it."""
        index = self._links[name] = self._next_index
        self._next_index += 1
        return index

    def _messages(self, step: Step, peers: Mapping[str, Namespace]) -> list[Message]:
        match step:
            case Up(link):
                return [rtnetlink.set_up(self.index(link))]
            case Bridge(name, mac):
                return [rtnetlink.add_bridge(name, self.new_index(name), mac)]
            case Veth(name, peer_namespace, peer, mac, peer_mac):
                other = peers[peer_namespace]
                near, far = (name, self.new_index(name), mac), (peer, other.new_index(peer), peer_mac)
                return [rtnetlink.add_veth(near, far, other.fd)]
            case Attach(link, bridge, isolated, hairpin):
                port = self.index(link)
                master = rtnetlink.set_master(port, self.index(bridge))
                return [master, rtnetlink.set_port(port, isolated=isolated, hairpin=hairpin)]
            case Assign(link, address):
                return [rtnetlink.add_address(self.index(link), address)]
            case Route():
                index = self.index(step.link) if step.link else 0
                options = {"onlink": step.onlink, "replace": step.replace}
                return [rtnetlink.add_route(step.destination, index, step.via, source=step.source, **options)]
            case Unroute(destination):
                return [rtnetlink.delete_route(destination)]
            case RemoveLink(name):
                index = self.index(name)
                del self._links[name]
                return [rtnetlink.delete_link(index)]
            case RemoveLinks(names):
                return self._removal(names)
            case _:
                raise AssertionError(step)

    def _removal(self, names: Iterable[str]) -> list[Message]:
        indexes = []
        for name in names:
            with suppress(KernelError):  # it went with its far end
                indexes.append(self.index(name))
            self._links.pop(name, None)
        leaving = [rtnetlink.set_group(index, _LEAVING) for index in indexes]
        return [*leaving, rtnetlink.delete_group(_LEAVING)] if leaving else []

    def _send(self, batch: list[tuple[Step, Message]]) -> None:
        for start in range(0, len(batch), _CHUNK):
            self._send_chunk(batch[start : start + _CHUNK])

    def _send_chunk(self, chunk: list[tuple[Step, Message]]) -> None:
        first = self._sequence + 1
        self._sequence += len(chunk)
        channel = self._channel()
        channel.send(rtnetlink.batch((message for _, message in chunk), first))
        refused: KernelError | None = None
        waiting = len(chunk)
        while waiting:
            for number, error, explanation in rtnetlink.replies(channel.recv(1 << 16)):
                waiting -= 1
                if error and refused is None:
                    refused = KernelError(str(chunk[number - first][0]), error, explanation)
        if refused is not None:
            self._links = {"lo": _LOOPBACK}  # which of the batch's links exist is for the kernel to say
            raise refused

    def _channel(self) -> Socket:
        if self._netlink is None:
            self._netlink = self.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._netlink.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._netlink.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        return self._netlink


@contextmanager
def _returning() -> Iterator[None]:
    """Come back to the present namespace at the end of the block."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)
