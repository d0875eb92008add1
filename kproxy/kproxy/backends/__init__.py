"""The ways to carry out what a node owes its Services: one module or package each, loaded by name when asked for.

Third parties add theirs with an entry point of the group `kproxy.backends`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import ClassVar, Protocol, runtime_checkable

from kapi.network import Network
from kproxy.errors import Unavailable
from kproxy.host import Host
from kproxy.model import Counted, Duties, NodeDuties
from kproxy.rules.evaluate import Outcome, Packet

_BUILT_IN: Mapping[str, str] = {
    "nftables": "kproxy.backends.nftables.backend:Nftables",
    "iptables": "kproxy.backends.iptables.backend:Iptables",
    "iptables-legacy": "kproxy.backends.iptables.backend:Legacy",
    "iptables-nft": "kproxy.backends.iptables.backend:Nft",
    "ipvs": "kproxy.backends.ipvs.backend:Ipvs",
    "userspace": "kproxy.backends.userspace.backend:Userspace",
    "memory": "kproxy.backends.memory:Memory",
}


class Backend(Protocol):
    """Carries out duties with rules of one kind, on one host.

    Inside, a backend compiles duties (pure), compares with what is in place (pure), and commits the
    difference in one atomic step.
    """

    name: ClassVar[str]
    host: Host | None  # where it acts; None is nowhere: it only keeps account
    tracked: ClassVar[bool]  # its UDP flows are entries of conntrack, which outlive their endpoints

    def missing(self) -> str | None:
        """Say in a sentence why this backend cannot work here; None where it can."""
        ...

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """Bring everything in place, whatever is there now. Returns the Services left out, each with the cause."""
        ...

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """Carry out the changes of some Services (None: it has vanished). Returns those left out, each with the cause.

        A Service whose rules cannot be worked out has none: what it had may be another's by now.
        Raises CommitFailed where nothing was done; then only `resync` brings certainty again.
        """
        ...

    async def drifted(self) -> bool:
        """Tell whether somebody else has changed what was put in place."""
        ...

    def evaluate(self, packet: Packet) -> Outcome:
        """Tell what the rules in place do with a packet."""
        ...

    async def clear(self) -> None:
        """Leave no trace."""
        ...

    def close(self) -> None:
        """Give back sockets and the like; the rules stay."""
        ...


@runtime_checkable
class Ruled(Protocol):
    """A backend whose rules grow with the cluster, and are counted."""

    def rules(self) -> Mapping[str, tuple[int, int]]:
        """Tell by table how many rules there are, and how many the last sync wrote."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A backend that counts the traffic of each endpoint itself."""

    def traffic(self) -> Iterable[Counted]:
        """Tell all that was counted so far; called in a thread. Raises OSError."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """A backend whose kernel offers several ways to choose an endpoint, and has servers that others made."""

    scheduler: str
    excluded: tuple[Network, ...]  # what is there within these at a start is not removed


def built_in() -> tuple[str, ...]:
    """List the backends that come with kproxy."""
    return tuple(_BUILT_IN)


def names() -> tuple[str, ...]:
    """List the backends there are."""
    return (*_BUILT_IN, *(found.name for found in entry_points(group="kproxy.backends")))


def load(name: str) -> Callable[[Host], Backend]:
    """Give the backend of that name: call it with the host to act on. Raises Unavailable where there is none."""
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        made: Callable[[Host], Backend] = getattr(import_module(module), attribute)
        return made
    for found in entry_points(group="kproxy.backends"):
        if found.name == name:
            loaded: Callable[[Host], Backend] = found.load()
            return loaded
    raise Unavailable(f"there is no backend {name!r}: choose one of {', '.join(names())}")
