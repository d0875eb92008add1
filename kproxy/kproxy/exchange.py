"""pyroute2's messages over a socket of a `Host`.

pyroute2 knows the layouts of the kernel's messages; the socket is ours, because pyroute2 opens its own in the network
namespace of this process, or through a process in another, and a proxy acts where its `Host` says. Whoever imports this
module imports pyroute2 (some 90 ms): only backends that use it do, and they are loaded by name.
`docs/decisions/0006-netlink-by-hand-and-by-library.md` says where messages are packed by hand instead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import Self

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, nlmsg
from pyroute2.netlink.marshal import Marshal

from kproxy.host import Host

_AT_ONCE = 100  # requests before their acknowledgements are read: these must fit the receive buffer
_DATAGRAM = 1 << 20
_SECONDS = 30.0


class Exchange:
    """A netlink socket of a host, opened when it is first needed."""

    def __init__(self, host: Host, protocol: int) -> None:
        self._host = host
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self._marshal = Marshal()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give back the socket."""
        self.close()

    def close(self) -> None:
        """Give back the socket; it is opened anew when there is need."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def understand(self, classes: Mapping[int, type[nlmsg]]) -> None:
        """Read answers of these types as messages of these classes."""
        self._marshal.msg_map.update(classes)

    def ask(self, kind: int, message: nlmsg) -> nlmsg:
        """Ask for one thing. Raises OSError where there is no such thing."""
        self._send(_encoded(kind, message, 0, 0))
        for answer in self._received():
            _check(answer)
            return answer
        raise OSError("the kernel gave no answer")

    def list(self, kind: int, message: nlmsg) -> Iterator[nlmsg]:
        """List everything of a type. Raises OSError."""
        self._send(_encoded(kind, message, NLM_F_DUMP, 0))
        while True:
            for answer in self._received():
                _check(answer)
                if answer["header"]["type"] == NLMSG_DONE:
                    return
                yield answer

    def change(self, changes: Iterable[tuple[int, int, nlmsg]]) -> Iterator[tuple[int, int]]:
        """Carry out every change (its type, flags and message) that the kernel takes.

        Gives the place and the errno of the others. Takes the changes as they are sent: a message is a large object.
        """
        coming, start = iter(changes), 0
        while chunk := tuple(islice(coming, _AT_ONCE)):
            sent = (_encoded(kind, one, NLM_F_ACK | flags, n) for n, (kind, flags, one) in enumerate(chunk))
            self._send(b"".join(sent))
            answered = 0
            while answered < len(chunk):
                for answer in self._received():
                    answered += 1
                    if answer["error"]:
                        yield start + answer["header"]["sequence_number"], -answer["error"]
            start += len(chunk)

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            self._socket = self._host.socket(socket.AF_NETLINK, socket.SOCK_RAW, self._protocol)
            self._socket.settimeout(_SECONDS)
            self._socket.bind((0, 0))
        self._socket.send(data)

    def _received(self) -> Iterator[nlmsg]:
        assert self._socket
        try:
            data = self._socket.recv(_DATAGRAM)
        except OSError:
            self.close()  # what is still to come must not answer another question
            raise
        yield from self._marshal.parse(data)


def _encoded(kind: int, message: nlmsg, flags: int, sequence: int) -> bytes:
    message["header"].update(type=kind, flags=NLM_F_REQUEST | flags, sequence_number=sequence)
    message.encode()
    return bytes(message.data)


def _check(answer: nlmsg) -> None:
    if answer["header"]["type"] == NLMSG_ERROR and answer["error"]:
        raise OSError(-answer["error"], os.strerror(-answer["error"]))
