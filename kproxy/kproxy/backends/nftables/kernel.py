"""The netlink socket of nf_tables: batches in, errors and dumps out. The only effects of the nftables backend."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence

from kproxy import netlink
from kproxy.backends.nftables.encode import Operation, Step
from kproxy.backends.nftables.expressions import FAMILIES
from kproxy.errors import AlreadyThere, CommitFailed, Refused, Unavailable
from kproxy.host import Host
from kproxy.netlink import Reply

NETFILTER = 12  # NETLINK_NETFILTER
_SEND_BUFFER_FORCE, _RECEIVE_BUFFER_FORCE = 32, 33
_BUFFER = 1 << 29
_DATAGRAM = 1 << 20
_SECONDS = 60  # a batch the kernel has not answered by then is lost
_APPENDED = netlink.CREATE | netlink.APPEND
_FLAGS = {
    Operation.NEW_TABLE: netlink.CREATE,
    Operation.NEW_CHAIN: netlink.CREATE,
    Operation.NEW_SET: netlink.CREATE,
    Operation.NEW_RULE: _APPENDED,
    Operation.NEW_ELEMENTS: netlink.CREATE,
}


class Kernel:
    """Speaks nf_tables with one host. Sockets are opened when first needed, and opened again after an error."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._socket: socket.socket | None = None
        self._sequence = 0

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def commit(self, steps: Sequence[Step]) -> None:
        """Make all steps happen, together.

        Raises Refused with the Services to blame, CommitFailed or Unavailable where nobody is, AlreadyThere where an
        exclusive step came second, and OSError (EMSGSIZE) where the batch is too large for the socket.
        """
        if not steps:
            return
        opened = self._open()
        first = self._sequence + 1
        parts = [netlink.begin(first)]
        last = first + len(steps)
        for sequence, step in enumerate(steps, first + 1):
            flags = _FLAGS.get(step.operation, 0) | (netlink.ACK if sequence == last else 0)
            flags |= netlink.EXCL if step.exclusive else 0
            kind = netlink.SUBSYSTEM << 8 | step.operation
            parts.append(netlink.message(kind, flags, sequence, FAMILIES[step.family], step.body))
        parts.append(netlink.end(last + 1))
        self._sequence = last + 1
        try:
            opened.send(b"".join(parts))
            errors = _errors(opened, first, last)
        except OSError:
            self.close()  # what is still in the socket belongs to the lost batch
            raise
        if errors:
            raise _failure(errors, first, steps)

    def dump(self, operation: Operation, family: int, *parts: bytes) -> list[Reply]:
        """List tables, chains, sets, rules or elements."""
        opened = self._open()
        self._sequence += 1
        kind = netlink.SUBSYSTEM << 8 | operation
        opened.send(netlink.message(kind, netlink.DUMP, self._sequence, FAMILIES[family], *parts))
        found: list[Reply] = []
        while True:
            for reply in netlink.replies(opened.recv(_DATAGRAM)):
                if reply.sequence != self._sequence:
                    continue
                if reply.error is None:
                    found.append(reply)
                elif reply.error in (0, errno.ENOENT):
                    return found
                else:
                    raise OSError(reply.error, f"cannot list the packet filter: {os.strerror(reply.error)}")

    def generation(self) -> int:
        """Tell the number of the present rules; each change by anyone raises it."""
        opened = self._open()
        self._sequence += 1
        kind = netlink.SUBSYSTEM << 8 | Operation.GET_GENERATION
        opened.send(netlink.message(kind, 0, self._sequence, 0))
        while True:
            for reply in netlink.replies(opened.recv(_DATAGRAM)):
                if reply.sequence == self._sequence and reply.error is None:
                    return int.from_bytes(netlink.attributes(reply.body)[1], "big")
                if reply.error:
                    raise OSError(reply.error, os.strerror(reply.error))

    def _open(self) -> socket.socket:
        if self._socket is None:
            try:
                opened = self._host.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
            except OSError as error:
                raise Unavailable(f"this kernel has no netfilter netlink socket: {error.strerror}") from error
            opened.bind((0, 0))
            opened.settimeout(_SECONDS)
            _enlarge(opened)
            self._socket = opened
        return self._socket


def _enlarge(opened: socket.socket) -> None:
    """Ask for room for whole batches; without the privilege, batches are cut to what there is."""
    for forced, plain in (
        (_SEND_BUFFER_FORCE, socket.SO_SNDBUF),
        (_RECEIVE_BUFFER_FORCE, socket.SO_RCVBUF),
    ):
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, _BUFFER)
        except PermissionError:
            opened.setsockopt(socket.SOL_SOCKET, plain, _BUFFER)


def _errors(opened: socket.socket, first: int, last: int) -> dict[int, int]:
    """Read until the last message of the batch is answered; errors by sequence number."""
    errors: dict[int, int] = {}
    while True:
        for reply in _own(netlink.replies(opened.recv(_DATAGRAM)), first, last):
            if reply.error:
                errors[reply.sequence] = reply.error
            if reply.sequence in (first, last):
                return errors


def _own(replies: Iterator[Reply], first: int, last: int) -> list[Reply]:
    return [r for r in replies if r.error is not None and first <= r.sequence <= last]


def _failure(errors: dict[int, int], first: int, steps: Sequence[Step]) -> Exception:
    if first in errors:
        return _general(errors[first])
    blamed: dict[str, str] = {}
    for sequence, code in errors.items():
        step = steps[sequence - first - 1]
        name = step.operation.name.lower().replace("_", " ")
        if not step.owner:
            return _general(code, name)
        blamed.setdefault(step.owner, f"the kernel refused {name}: {os.strerror(code)}")
    return Refused(blamed)


def _general(code: int, what: str = "the batch") -> Exception:
    if code == errno.EPERM:
        return Unavailable("changing the packet filter needs the capability CAP_NET_ADMIN: run as root")
    if code in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
        return Unavailable(f"this kernel lacks a part of nf_tables that {what} needs (NAT, fib, numgen or reject)")
    failed = AlreadyThere if code == errno.EEXIST else CommitFailed
    return failed(f"the kernel refused {what}: {os.strerror(code)}")
