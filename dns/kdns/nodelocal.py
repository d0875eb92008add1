"""A name server on every node, at an address that is the node's own: what the node needs for it, while it lasts.

The addresses are put on a device of their own, or on loopback where the kernel has no dummy devices. What goes to them
and comes from them is not tracked: that costs nothing, fills no table, and no query is lost to a race between two.
"""

from __future__ import annotations

import errno
import logging
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from pyroute2 import IPRoute, NetlinkError

from kapi.network import Address
from kdns.errors import NodeRefused

log = logging.getLogger(__name__)

DEVICE = "kdns-local"
TABLE = "inet kdns-node-local"
_LOOPBACK = 1
_NO_DAD = 0x02  # IFA_F_NODAD: nobody else can have the address
_WITHOUT_DUMMIES = {errno.EOPNOTSUPP, errno.ENODEV}


def rules(addresses: Sequence[Address]) -> str:
    """Give the rules for nft: packets to and from these addresses, port 53, are not tracked."""
    lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    for chain, ways in (("prerouting", ("d",)), ("output", ("d", "s"))):
        lines.append(f"  chain {chain} {{ type filter hook {chain} priority raw; policy accept;")
        for address in addresses:
            family = "ip" if address.version == 4 else "ip6"
            lines += [f"    {family} {w}addr {address} meta l4proto {{ tcp, udp }} th {w}port 53 notrack" for w in ways]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


@contextmanager
def held(addresses: Sequence[Address]) -> Iterator[None]:
    """Have the addresses and the rules as long as the context lasts. Raises `NodeRefused`."""
    with ExitStack() as undo:
        try:
            ip = undo.enter_context(IPRoute())
            index = _device(ip, undo)
            for address in addresses:
                _add(ip, index, address, undo)
            _nft(rules(addresses))
            undo.callback(_nft, f"delete table {TABLE}\n")
        except (NetlinkError, OSError) as error:
            listed = ", ".join(map(str, addresses))
            said = f"{listed} cannot be made an address of this node: {error}; it takes root or CAP_NET_ADMIN, and nft"
            raise NodeRefused(said) from error
        yield


def _device(ip: IPRoute, undo: ExitStack) -> int:
    """Give the index of the device for the addresses."""
    try:
        ip.link("add", ifname=DEVICE, kind="dummy")
    except NetlinkError as error:
        if error.code in _WITHOUT_DUMMIES:
            log.info("this kernel has no dummy devices: the addresses are on loopback")
            return _LOOPBACK
        if error.code != errno.EEXIST:
            raise
    index = int(ip.link_lookup(ifname=DEVICE)[0])
    undo.callback(_quietly, ip.link, "del", index=index)
    ip.link("set", index=index, state="up")
    return index


def _add(ip: IPRoute, index: int, address: Address, undo: ExitStack) -> None:
    """Add an address; one that is there already, whoever put it there, stays there."""
    wanted = {"index": index, "address": str(address), "prefixlen": address.max_prefixlen}
    try:
        ip.addr("add", **wanted, **({"flags": _NO_DAD} if address.version == 6 else {}))
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
    else:
        undo.callback(_quietly, ip.addr, "del", **wanted)


def _quietly(act: object, *words: object, **more: object) -> None:
    """Undo something, which may have been undone by others."""
    with suppress(NetlinkError, OSError):
        assert callable(act)
        act(*words, **more)


def _nft(text: str) -> None:
    done = subprocess.run(["nft", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EPERM, done.stderr.strip().partition("\n")[0] or "nft failed")
