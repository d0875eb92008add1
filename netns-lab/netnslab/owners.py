"""Whose connections a lab takes on 127.0.0.1, which every user of the machine can reach.

Who may start pods may do whatever the lab may, and of a lab that root has started that is everything. So its API serves
the user it belongs to, and root. Whose a connection is, the kernel tells in /proc/net/tcp (proc(5)), for which both
ends must be on this machine.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable

Address = tuple[str, int]

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_PIECE = 1 << 16
_UID, _INODE = 7, 9  # fields of a line


class Owners:
    """Asks the tables of one network namespace, by descriptors that were opened in it. `user` owns the lab."""

    def __init__(self, tables: Iterable[int], user: int) -> None:
        self._tables = tuple(tables)
        self._user = user

    def refuse(self, client: Address, server: Address) -> str:
        """Say why a connection is not served, or ""."""
        user = next(
            (found for table in self._tables if (found := owner(_all(table), client, server)) is not None), None
        )
        if user in (self._user, 0):
            return ""
        who = "whoever connects" if user is None else f"user {user}"
        return f"this lab belongs to user {self._user}: {who} may not use it"


def opened() -> tuple[int, ...]:
    """The tables of this process's network namespace."""
    return tuple(os.open(table, os.O_RDONLY | os.O_CLOEXEC) for table in TABLES if os.path.exists(table))  # noqa: PTH110


def owner(table: str, client: Address, server: Address) -> int | None:
    """The user whose socket the client's end of a connection is; None where no process has it open. Pure."""
    for ends in zip(_written(client), _written(server), strict=True):
        position = table.find(" ".join(ends))
        if position >= 0:
            fields = table[table.rfind("\n", 0, position) + 1 :].split("\n", 1)[0].split()
            return int(fields[_UID]) if fields[_INODE] != "0" else None  # a socket without a process has nobody's uid
    return None


def _written(address: Address) -> tuple[str, str]:
    """An IPv4 address and port as the two tables have it."""
    host, port = address
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    mapped = int.from_bytes(b"\0\0\xff\xff", sys.byteorder)
    return f"{number:08X}:{port:04X}", f"{0:016X}{mapped:08X}{number:08X}:{port:04X}"


def _all(table: int) -> str:
    os.lseek(table, 0, os.SEEK_SET)
    text = b""
    while piece := os.read(table, _PIECE):
        text += piece
    return text.decode()
