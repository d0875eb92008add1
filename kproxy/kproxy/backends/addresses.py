"""Addresses that a host is given for its Services, on one device, and the host's other addresses: by the ip command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address

from kapi.network import Address, Network
from kproxy.errors import CommitFailed
from kproxy.host import Host

_NO_DAD = {4: "", 6: " nodad"}


def exists(host: Host, device: str) -> bool:
    """Tell whether there is such a device."""
    return not host.run(["ip", "link", "show", device]).returncode


def ensure_dummy(host: Host, device: str) -> None:
    """Make a dummy device, if it is not there. Raises CommitFailed."""
    if not exists(host, device):
        _run(host, f"link add {device} type dummy\nlink set {device} up\n")


def remove_device(host: Host, device: str) -> None:
    """Remove a device with all its addresses."""
    if exists(host, device):
        _run(host, f"link delete {device}\n")


def addresses(host: Host, device: str) -> dict[bool, set[Address]]:
    """List the host's addresses: those of the device (True), and all others; loopback and link-local ones are none."""
    found: dict[bool, set[Address]] = {True: set(), False: set()}
    for link in json.loads(host.run(["ip", "-json", "address"]).stdout or b"[]"):
        for entry in link.get("addr_info", ()):
            address = ip_address(entry["local"])
            if not address.is_link_local and not address.is_loopback:
                found[link["ifname"] == device].add(address)
    return found


def answering(host: Host, device: str, networks: Iterable[Network]) -> tuple[Address, ...]:
    """Give the host's own addresses within the networks: those that answer on NodePorts."""
    wanted = tuple(networks)
    own = addresses(host, device)[False]
    return tuple(sorted((a for a in own if any(a in n for n in wanted)), key=lambda a: (a.version, int(a))))


def change(host: Host, device: str, added: Iterable[Address], removed: Iterable[Address]) -> None:
    """Give the device addresses and take others away. Raises CommitFailed."""
    lines = [f"address replace {a}/{a.max_prefixlen} dev {device}{_NO_DAD[a.version]}" for a in added]
    lines += [f"address delete {a}/{a.max_prefixlen} dev {device}" for a in removed]
    if lines:
        _run(host, "\n".join([*lines, ""]))


def _run(host: Host, lines: str) -> None:
    ran = host.run(["ip", "-force", "-batch", "-"], lines.encode())
    if ran.returncode:
        raise CommitFailed(f"ip -batch: {ran.stderr.decode().strip()}")
