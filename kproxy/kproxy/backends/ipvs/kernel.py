"""IPVS of one host's kernel, over generic netlink."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kproxy.backends.ipvs import wire
from kproxy.backends.ipvs.compile import Server
from kproxy.backends.ipvs.wire import Real, Request
from kproxy.errors import Refused, Unavailable
from kproxy.host import Host
from kproxy.netlink import DONE, ERROR, Reply, replies

_GENERIC = 16  # NETLINK_GENERIC
_AT_ONCE = 100  # requests before their acknowledgements are read: these must fit the receive buffer
_SECONDS = 30.0


class Ipvs:
    """Virtual servers and real servers as the kernel has them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._socket: socket.socket | None = None
        self._family = 0

    def carry_out(self, requests: Sequence[Request]) -> None:
        """Carry out all requests that the kernel takes. Raises Refused with the Services of the others.

        What is to be made and is there is changed instead; what is to go and is gone is no error.
        """
        causes: dict[str, str] = {}
        again: list[Request] = []
        for request, error in self._sent(requests):
            if error == errno.EEXIST and request.command in wire.INSTEAD:
                again.append(replace(request, command=wire.INSTEAD[request.command]))
            elif error not in (errno.ENOENT, errno.ESRCH) or request.command not in wire.ENDING:
                causes[request.owner] = f"IPVS did not take {request.about}: {os.strerror(error)}"
        if again:
            self.carry_out(again)
        if causes:
            raise Refused(causes)

    def _sent(self, requests: Sequence[Request]) -> Iterator[tuple[Request, int]]:
        """Send requests; gives those that the kernel refused, with its error."""
        netlink = self._opened()
        for start in range(0, len(requests), _AT_ONCE):
            chunk = requests[start : start + _AT_ONCE]
            netlink.send(b"".join(wire.message(self._family, r.command, n, r.body) for n, r in enumerate(chunk)))
            for answer in self._acknowledgements(netlink, len(chunk)):
                if answer.error:
                    yield chunk[answer.sequence], answer.error

    def services(self) -> dict[Server, tuple[str, int]]:
        """List the virtual servers, each with its scheduler and affinity."""
        found = (wire.read_service(body) for body in self._dump(wire.GET_SERVICE, b""))
        return {server: (scheduler, affinity) for server, scheduler, affinity in found}

    def destinations(self, server: Server) -> list[Real]:
        """List the real servers of one virtual server."""
        bodies = self._dump(wire.GET_DEST, wire.list_destinations(server))
        return [wire.read_destination(body, server.family) for body in bodies]

    def close(self) -> None:
        """Give back the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _opened(self) -> socket.socket:
        if self._socket is None:
            opened = self._host.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC)
            opened.settimeout(_SECONDS)
            opened.bind((0, 0))
            opened.send(wire.find_family())
            answer = next(replies(opened.recv(65536)))
            if answer.kind == ERROR and answer.error:
                opened.close()
                raise Unavailable("this kernel has no IPVS (module ip_vs)")
            opened.recv(65536)  # the acknowledgement
            self._family = wire.family_number(answer.body)
            self._socket = opened
        return self._socket

    def _dump(self, command: int, body: bytes) -> Iterable[bytes]:
        netlink = self._opened()
        netlink.send(wire.message(self._family, command, 1, body, dump=True))
        found: list[bytes] = []
        while True:
            for answer in replies(netlink.recv(1 << 20)):
                if answer.kind in (DONE, ERROR):
                    return found
                found.append(answer.body)

    def _acknowledgements(self, netlink: socket.socket, count: int) -> Iterator[Reply]:
        while count:
            for answer in replies(netlink.recv(1 << 20)):
                count -= 1
                yield answer
