"""Addresses that a host is given for its Services, on one device, and the host's other addresses: over rtnetlink."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from socket import AF_INET, AF_INET6

from pyroute2.netlink import NLM_F_CREATE, NLM_F_REPLACE, nlmsg
from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_DELLINK, RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg

from kapi.network import Address, Network
from kproxy.errors import CommitFailed
from kproxy.exchange import Exchange
from kproxy.host import Host

_ROUTES = 0  # NETLINK_ROUTE
_CLASSES = {RTM_NEWADDR: ifaddrmsg, RTM_NEWLINK: ifinfmsg}
_GONE = (errno.EADDRNOTAVAIL, errno.ENODEV)  # what was to be removed is not there
_AF = {4: AF_INET, 6: AF_INET6}
_ADDED = NLM_F_CREATE | NLM_F_REPLACE
_Step = tuple[int, int, Callable[[], nlmsg], str]  # type, flags, what makes the message, what it is about


def exists(host: Host, device: str) -> bool:
    """Tell whether there is such a device."""
    with _opened(host) as exchange:
        return _index(exchange, device) != 0


def ensure_dummy(host: Host, device: str) -> None:
    """Have a dummy device that is up. Raises CommitFailed."""
    kind = ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "dummy")]})
    _change(host, [(RTM_NEWLINK, NLM_F_CREATE, partial(_link, device, kind, up=True), f"device {device}")])


def remove_device(host: Host, device: str) -> None:
    """Remove a device with all its addresses. Raises CommitFailed."""
    _change(host, [(RTM_DELLINK, 0, partial(_link, device), f"device {device}")])


def addresses(host: Host, device: str) -> dict[bool, set[Address]]:
    """List the host's addresses: those of the device (True), and all others; loopback and link-local ones are none."""
    found: dict[bool, set[Address]] = {True: set(), False: set()}
    with _opened(host) as exchange:
        index = _index(exchange, device)
        for entry in exchange.list(RTM_GETADDR, ifaddrmsg()):
            address = ip_address(entry.get("IFA_LOCAL") or entry.get("IFA_ADDRESS"))
            if not address.is_link_local and not address.is_loopback:
                found[entry["index"] == index].add(address)
    return found


def answering(host: Host, device: str, networks: Iterable[Network]) -> tuple[Address, ...]:
    """Give the host's own addresses within the networks: those that answer on NodePorts."""
    wanted = tuple(networks)
    own = addresses(host, device)[False]
    return tuple(sorted((a for a in own if any(a in n for n in wanted)), key=lambda a: (a.version, int(a))))


def change(host: Host, device: str, added: Iterable[Address], removed: Iterable[Address]) -> None:
    """Give the device addresses and take others away, all that can be. Raises CommitFailed where some cannot."""
    added, removed = tuple(added), tuple(removed)
    if not added and not removed:
        return
    with _opened(host) as exchange:
        index = _index(exchange, device)
    todo: list[_Step] = [(RTM_NEWADDR, _ADDED, partial(_address, index, a), str(a)) for a in added]
    todo += [(RTM_DELADDR, 0, partial(_address, index, a), str(a)) for a in removed]
    _change(host, todo)


def _opened(host: Host) -> Exchange:
    exchange = Exchange(host, _ROUTES)
    exchange.understand(_CLASSES)
    return exchange


def _index(exchange: Exchange, device: str) -> int:
    """Give the number of a device, 0 where there is none."""
    with suppress(OSError):
        return int(exchange.ask(RTM_GETLINK, _link(device))["index"])
    return 0


def _link(device: str, *attributes: tuple[str, object], up: bool = False) -> nlmsg:
    flags = IFF_UP if up else 0
    message = ifinfmsg()
    message.update(flags=flags, change=flags, attrs=[("IFLA_IFNAME", device), *attributes])
    return message


def _address(index: int, address: Address) -> nlmsg:
    attributes: list[tuple[str, object]] = [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(address))]
    if address.version == 6:
        attributes.append(("IFA_FLAGS", IFA_F_NODAD))  # nobody else has it, and it must serve at once
    message = ifaddrmsg()
    message.update(family=_AF[address.version], prefixlen=address.max_prefixlen, index=index, attrs=attributes)
    return message


def _change(host: Host, todo: Sequence[_Step]) -> None:
    causes: list[str] = []
    with _opened(host) as exchange:
        for place, error in exchange.change((kind, flags, made()) for kind, flags, made, _ in todo):
            kind, _, _, about = todo[place]
            if kind not in (RTM_DELADDR, RTM_DELLINK) or error not in _GONE:
                causes.append(f"{about}: {os.strerror(error)}")
    if causes:
        raise CommitFailed(f"this host's devices and addresses cannot be changed: {'; '.join(causes)}")
