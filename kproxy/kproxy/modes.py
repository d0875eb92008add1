"""Which backend works here: the one that was asked for, or the best one there is."""

from __future__ import annotations

import logging

from kproxy import counting
from kproxy.backends import Backend, built_in, load
from kproxy.backends.ipvs.layout import DEVICE
from kproxy.configuration import AUTO
from kproxy.errors import ProxyError, Unavailable
from kproxy.host import Host

log = logging.getLogger(__name__)

PREFERRED = ("nftables", "iptables", "userspace")
_LEAVE_NOTHING = ("memory", "userspace")  # whatever they did ends with their process


def choose(mode: str, host: Host) -> tuple[Backend, str]:
    """Give the backend of a mode, and a sentence why; `auto` is the first that works.

    Raises Unavailable, saying which modes would work instead.
    """
    if mode in ("", AUTO):
        return _best(host)
    backend = load(mode)(host)
    why = backend.missing()
    if why is None:
        return backend, f"mode {mode}, as asked for"
    backend.close()
    others = [name for name in PREFERRED if name != mode and missing(name, host) is None]
    instead = f"these modes would: {', '.join(others)}" if others else "no other mode would, either"
    raise Unavailable(f"mode {mode} cannot work here: {why.rstrip('.')}; {instead}")


def missing(mode: str, host: Host) -> str | None:
    """Say why a mode cannot work here; None where it can."""
    try:
        backend = load(mode)(host)
    except (ProxyError, ImportError) as error:
        return str(error)
    try:
        return backend.missing()
    finally:
        backend.close()


def _best(host: Host) -> tuple[Backend, str]:
    causes: list[str] = []
    for mode in PREFERRED:
        why = missing(mode, host)
        if why is None:
            since = f", since {'; '.join(causes)}" if causes else ", which works here"
            return load(mode)(host), f"mode {mode}{since}"
        causes.append(f"{mode} cannot work ({why.rstrip('.')})")
    raise Unavailable(f"no mode can work here: {'; '.join(causes)}")


async def clear_others(host: Host, mode: str) -> None:
    """Leave nothing of the modes other than `mode` behind; "" is no mode: leave nothing at all."""
    for name in built_in():
        if name in _LEAVE_NOTHING or _is_same(name, mode) or not _may_have_left(host, name):
            continue
        if missing(name, host) is not None:
            continue
        backend = load(name)(host)
        try:
            await backend.clear()
        except (ProxyError, OSError) as error:
            log.warning("what mode %s may have left behind could not be removed: %s", name, error)
        finally:
            backend.close()
    if not counting.counts(mode):
        counting.clear(host)


def _is_same(name: str, mode: str) -> bool:
    """Whether two names stand for one set of rules: `iptables` is whichever flavour the host has."""
    return name == mode or ("iptables" in (name, mode) and name.startswith("iptables") and mode.startswith("iptables"))


def _may_have_left(host: Host, name: str) -> bool:
    """Whether it is worth a closer look, for modes that cannot be asked for nothing.

    To try whether iptables works makes tables that were not there before. To speak to IPVS means importing pyroute2,
    and without its device nothing there is ours.
    """
    if name == "ipvs":
        try:
            host.sysctl(f"net/ipv4/conf/{DEVICE}/forwarding")
        except OSError:
            return False
    if name.startswith("iptables"):
        flavour = name.removeprefix("iptables")
        return any(b"KUBE-" in _saved(host, f"{command}{flavour}-save") for command in ("iptables", "ip6tables"))
    return True


def _saved(host: Host, command: str) -> bytes:
    try:
        return host.run([command]).stdout
    except FileNotFoundError:
        return b""
