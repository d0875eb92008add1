"""The bytes of IPVS netlink, a family of generic netlink: linux/ip_vs.h. Pure. Numbers are in host byte order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6
from struct import Struct

from kproxy.backends.ipvs.compile import Server, Virtual
from kproxy.model import Target
from kproxy.netlink import ACK, CREATE, DUMP, REQUEST, attribute, attributes, items, nested, text

FAMILY = "IPVS"
NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = 5, 6, 7, 8
INSTEAD = {NEW_SERVICE: SET_SERVICE, NEW_DEST: SET_DEST}  # of what is there already
ENDING = (DEL_SERVICE, DEL_DEST, SET_DEST)  # of what may be gone already
_SERVICE, _DEST = 1, 2  # attributes of a command
_PERSISTENT = 0x1
_CONTROLLER, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 0x10, 3, 1, 2
_HEADER = Struct("=IHHIIBBH")  # nlmsghdr and genlmsghdr
_U16, _U32, _FLAGS, _PORT = Struct("=H"), Struct("=I"), Struct("=II"), Struct(">H")
_AF = {4: AF_INET, 6: AF_INET6}


@dataclass(frozen=True, slots=True)
class Request:
    """One command; `owner` is the Service it is for."""

    command: int
    body: bytes
    owner: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Real:
    """A real server as the kernel has it; `connections` still count on it."""

    target: Target
    weight: int
    connections: int


def message(family: int, command: int, sequence: int, body: bytes, *, dump: bool = False) -> bytes:
    """Pack one message."""
    flags = REQUEST | (DUMP if dump else ACK | CREATE)
    return _HEADER.pack(_HEADER.size + len(body), family, flags, sequence, 0, command, 1, 0) + body


def find_family() -> bytes:
    """Ask which number IPVS has."""
    return message(_CONTROLLER, _GET_FAMILY, 1, text(_FAMILY_NAME, FAMILY))


def family_number(body: bytes) -> int:
    """Read the answer."""
    return int(_U16.unpack(attributes(body)[_FAMILY_ID][:2])[0])


def new_service(virtual: Virtual, owner: str) -> Request:
    """Make a virtual server."""
    return Request(NEW_SERVICE, nested(_SERVICE, _service(virtual.server), _kind(virtual)), owner, virtual.origin)


def set_service(virtual: Virtual, owner: str) -> Request:
    """Change the scheduler or affinity of one."""
    return Request(SET_SERVICE, nested(_SERVICE, _service(virtual.server), _kind(virtual)), owner, virtual.origin)


def delete_service(server: Server, owner: str = "") -> Request:
    """Remove one."""
    return Request(DEL_SERVICE, nested(_SERVICE, _service(server)), owner, str(server))


def destination(command: int, server: Server, target: Target, weight: int, owner: str = "") -> Request:
    """Make, change or remove a real server."""
    body = nested(_SERVICE, _service(server)) + nested(_DEST, *_real(target, weight))
    return Request(command, body, owner, str(target))


def list_destinations(server: Server) -> bytes:
    """Ask for the real servers of one virtual server."""
    return nested(_SERVICE, _service(server))


def _service(server: Server) -> bytes:
    family = attribute(1, _U16.pack(_AF[server.family]))
    if server.mark:
        return family + attribute(5, _U32.pack(server.mark))
    address = server.address.ljust(16, b"\0")
    protocol, port = _U16.pack(server.protocol), _PORT.pack(server.port)
    return family + attribute(2, protocol) + attribute(3, address) + attribute(4, port)


def _kind(virtual: Virtual) -> bytes:
    flags = _PERSISTENT if virtual.affinity else 0
    mask = b"\xff\xff\xff\xff" if virtual.server.family == 4 else _U32.pack(128)
    known = text(6, virtual.scheduler) + attribute(7, _FLAGS.pack(flags, _PERSISTENT))
    return known + attribute(8, _U32.pack(virtual.affinity)) + attribute(9, mask)


def _real(target: Target, weight: int) -> Iterator[bytes]:
    yield attribute(1, target.address.packed.ljust(16, b"\0"))
    yield attribute(2, _PORT.pack(target.port))
    yield attribute(3, _U32.pack(0))  # masquerading, which IPVS calls rewriting the destination
    yield attribute(4, _U32.pack(weight))
    yield attribute(5, _U32.pack(0))
    yield attribute(6, _U32.pack(0))
    yield attribute(11, _U16.pack(_AF[target.address.version]))


def read_service(body: bytes) -> tuple[Server, str, int]:
    """Read a virtual server: itself, its scheduler and its affinity."""
    found = attributes(attributes(body)[_SERVICE])
    family = 4 if _U16.unpack(found[1])[0] == AF_INET else 6
    scheduler = found[6].rstrip(b"\0").decode()
    affinity = _number(found[8]) if _number(found[7]) & _PERSISTENT else 0
    if mark := _number(found.get(5, b"\0\0\0\0")):
        return Server(family, mark=mark), scheduler, affinity
    address = found[3][: 4 if family == 4 else 16]
    server = Server(family, _U16.unpack(found[2])[0], address, _PORT.unpack(found[4])[0])
    return server, scheduler, affinity


def read_destination(body: bytes, family: int) -> Real:
    """Read a real server."""
    found = dict(items(attributes(body)[_DEST]))
    address = IPv4Address(found[1][:4]) if family == 4 else IPv6Address(found[1][:16])
    target = Target(address, _PORT.unpack(found[2])[0])
    return Real(target, _number(found[4]), _number(found[7]) + _number(found[8]) + _number(found[9]))


def _number(data: bytes) -> int:
    return int.from_bytes(data[:4], sys.byteorder)
