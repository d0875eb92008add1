"""What is said to IPVS and what it answers, in pyroute2's messages: virtual servers and their real servers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import Any, NamedTuple

from pyroute2.netlink.generic.ipvs import (
    GENL_VERSION,
    IPVS_CMD_DEL_DEST,
    IPVS_CMD_DEL_SERVICE,
    IPVS_CMD_NEW_DEST,
    IPVS_CMD_NEW_SERVICE,
    IPVS_CMD_SET_DEST,
    IPVS_CMD_SET_SERVICE,
    ipvsmsg,
)

from kproxy.backends.ipvs.compile import Server, Virtual
from kproxy.model import Target

INSTEAD = {IPVS_CMD_NEW_SERVICE: IPVS_CMD_SET_SERVICE, IPVS_CMD_NEW_DEST: IPVS_CMD_SET_DEST}  # of what is there already
ENDING = (IPVS_CMD_DEL_SERVICE, IPVS_CMD_DEL_DEST, IPVS_CMD_SET_DEST)  # of what may be gone already
_PERSISTENT = 0x1  # IP_VS_SVC_F_PERSISTENT
_MASQUERADING = 0  # IP_VS_CONN_F_MASQ: the destination is rewritten
_AF = {4: AF_INET, 6: AF_INET6}
_ONE_CLIENT = {4: "255.255.255.255", 6: "128.0.0.0"}  # affinity is each client's; for IPv6 a length, the low byte first

Attributes = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One command; `owner` is the Service it is for."""

    command: int
    attributes: Attributes
    owner: str = ""
    about: str = ""


class Amounts(NamedTuple):
    """What was led through a server: packets and bytes from clients, and back to them."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0


_NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Real:
    """A real server as the kernel has it; `connections` still count on it."""

    target: Target
    weight: int
    connections: int
    amounts: Amounts = _NOTHING


@dataclass(frozen=True, slots=True)
class Kept:
    """A virtual server as the kernel has it, without its real servers."""

    scheduler: str
    affinity: int
    amounts: Amounts = _NOTHING


def message(command: int, attributes: Attributes) -> ipvsmsg:
    """Make pyroute2's message of a command."""
    made = ipvsmsg()
    made.update(cmd=command, version=GENL_VERSION, attrs=list(attributes))
    return made


def new_service(virtual: Virtual, owner: str) -> Request:
    """Make a virtual server."""
    return Request(IPVS_CMD_NEW_SERVICE, (_service(virtual.server, *_kind(virtual)),), owner, virtual.origin)


def set_service(virtual: Virtual, owner: str) -> Request:
    """Change the scheduler or affinity of one."""
    return Request(IPVS_CMD_SET_SERVICE, (_service(virtual.server, *_kind(virtual)),), owner, virtual.origin)


def delete_service(server: Server, owner: str = "") -> Request:
    """Remove one."""
    return Request(IPVS_CMD_DEL_SERVICE, (_service(server),), owner, str(server))


def new_destination(server: Server, target: Target, weight: int, owner: str) -> Request:
    """Make a real server."""
    return Request(IPVS_CMD_NEW_DEST, (_service(server), _real(target, *_share(weight))), owner, str(target))


def set_destination(server: Server, target: Target, weight: int, owner: str) -> Request:
    """Change the weight of one; 0 is no new connections."""
    return Request(IPVS_CMD_SET_DEST, (_service(server), _real(target, *_share(weight))), owner, str(target))


def delete_destination(server: Server, target: Target, owner: str = "") -> Request:
    """Remove one."""
    return Request(IPVS_CMD_DEL_DEST, (_service(server), _real(target)), owner, str(target))


def of(server: Server) -> Attributes:
    """Give what names a virtual server whose real servers are asked for."""
    return (_service(server),)


def _service(server: Server, *more: tuple[str, Any]) -> tuple[str, Any]:
    known: list[tuple[str, Any]] = [("IPVS_SVC_ATTR_AF", _AF[server.family])]
    if server.mark:
        known.append(("IPVS_SVC_ATTR_FWMARK", server.mark))
    else:
        known.append(("IPVS_SVC_ATTR_PROTOCOL", server.protocol))
        known.append(("IPVS_SVC_ATTR_ADDR", str(ip_address(server.address))))
        known.append(("IPVS_SVC_ATTR_PORT", server.port))
    return "IPVS_CMD_ATTR_SERVICE", {"attrs": [*known, *more]}


def _kind(virtual: Virtual) -> Attributes:
    flags = _PERSISTENT if virtual.affinity else 0
    return (
        ("IPVS_SVC_ATTR_SCHED_NAME", virtual.scheduler),
        ("IPVS_SVC_ATTR_FLAGS", {"flags": flags, "mask": _PERSISTENT}),
        ("IPVS_SVC_ATTR_TIMEOUT", virtual.affinity),
        ("IPVS_SVC_ATTR_NETMASK", _ONE_CLIENT[virtual.server.family]),
    )


def _real(target: Target, *more: tuple[str, Any]) -> tuple[str, Any]:
    known: Attributes = (
        ("IPVS_DEST_ATTR_ADDR_FAMILY", _AF[target.address.version]),
        ("IPVS_DEST_ATTR_ADDR", str(target.address)),
        ("IPVS_DEST_ATTR_PORT", target.port),
    )
    return "IPVS_CMD_ATTR_DEST", {"attrs": [*known, *more]}


def _share(weight: int) -> Attributes:
    return (
        ("IPVS_DEST_ATTR_FWD_METHOD", _MASQUERADING),
        ("IPVS_DEST_ATTR_WEIGHT", weight),
        ("IPVS_DEST_ATTR_U_THRESH", 0),
        ("IPVS_DEST_ATTR_L_THRESH", 0),
    )


def read_service(answer: ipvsmsg) -> tuple[Server, Kept]:
    """Read a virtual server."""
    found = answer.get("IPVS_CMD_ATTR_SERVICE")
    family = 4 if found.get("IPVS_SVC_ATTR_AF") == AF_INET else 6
    persistent = found.get("IPVS_SVC_ATTR_FLAGS")["flags"] & _PERSISTENT
    scheduler = str(found.get("IPVS_SVC_ATTR_SCHED_NAME"))
    affinity = int(found.get("IPVS_SVC_ATTR_TIMEOUT")) if persistent else 0
    kept = Kept(scheduler, affinity, _amounts(found.get("IPVS_SVC_ATTR_STATS64")))
    if mark := found.get("IPVS_SVC_ATTR_FWMARK"):
        return Server(family, mark=mark), kept
    address = ip_address(found.get("IPVS_SVC_ATTR_ADDR")).packed
    server = Server(family, found.get("IPVS_SVC_ATTR_PROTOCOL"), address, found.get("IPVS_SVC_ATTR_PORT"))
    return server, kept


def read_destination(answer: ipvsmsg) -> Real:
    """Read a real server."""
    found = answer.get("IPVS_CMD_ATTR_DEST")
    target = Target(ip_address(found.get("IPVS_DEST_ATTR_ADDR")), found.get("IPVS_DEST_ATTR_PORT"))
    counted = (found.get(f"IPVS_DEST_ATTR_{kind}_CONNS") for kind in ("ACTIVE", "INACT", "PERSIST"))
    amounts = _amounts(found.get("IPVS_DEST_ATTR_STATS64"))
    return Real(target, found.get("IPVS_DEST_ATTR_WEIGHT"), sum(counted), amounts)


def _amounts(found: Any) -> Amounts:
    return Amounts(*(found.get(f"IPVS_STATS_ATTR_{what}") for what in ("INPKTS", "INBYTES", "OUTPKTS", "OUTBYTES")))
