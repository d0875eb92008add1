"""Watches what the kernel does with a connection that somebody makes: the effects behind `kproxy explain --live`."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress

from kproxy import netlink
from kproxy.backends.nftables import trace
from kproxy.backends.nftables.encode import Operation
from kproxy.backends.nftables.kernel import NETFILTER, Kernel
from kproxy.backends.nftables.trace import Known, Place, Sighting
from kproxy.errors import CommitFailed, ProxyError
from kproxy.host import Host
from kproxy.question import Question

_DATAGRAM = 1 << 16
_NETLINK_OPTIONS, _ADD_MEMBERSHIP = 270, 1
_QUIET = 0.3  # seconds without news of a packet after which its way is at its end


def watch(asked: Question, host: Host, seconds: float) -> tuple[list[Sighting], Mapping[Place, Known]]:
    """Wait for the first packet of such a connection; returns its way, and the rules that were there.

    Raises ProxyError where none comes in time, Unavailable where the kernel does not let us.
    """
    with closing(Kernel(host)) as kernel, _listening(host) as told, _armed(kernel, asked):
        sightings = _first(told, time.monotonic() + seconds)
        known = trace.handles(kernel.dump(Operation.GET_RULE, 0))
    if not sightings:
        raise ProxyError(f"no new connection by {asked} came to this node within {seconds:g} s")
    return sightings, known


@contextmanager
def _listening(host: Host) -> Iterator[socket.socket]:
    with host.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as opened:
        opened.bind((0, 0))
        opened.setsockopt(_NETLINK_OPTIONS, _ADD_MEMBERSHIP, trace.GROUP)
        yield opened


@contextmanager
def _armed(kernel: Kernel, asked: Question) -> Iterator[None]:
    off = trace.disarm(asked.source.version)
    with suppress(CommitFailed):  # one that was ended before it could clear up
        kernel.commit([off])
    kernel.commit(list(trace.arm(asked.source, asked.destination, asked.protocol, asked.port)))
    try:
        yield
    finally:
        kernel.commit([off])


def _first(told: socket.socket, until: float) -> list[Sighting]:
    """Gather all that is told of the first packet."""
    found: list[Sighting] = []
    while (left := until - time.monotonic()) > 0:
        told.settimeout(min(left, _QUIET) if found else left)
        try:
            data = told.recv(_DATAGRAM)
        except TimeoutError:
            break
        for reply in netlink.replies(data):
            sighting = trace.read(reply)
            if sighting and (not found or sighting.packet == found[0].packet):
                found.append(sighting)
    return found
