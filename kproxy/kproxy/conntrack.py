"""Makes the kernel forget stale UDP flows (`kproxy.flows` says which), beside the sync and never in its way."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Iterator, Mapping

from kapi.network import Address, Network
from kproxy import flows, netlink
from kproxy.flows import Flow, Watched
from kproxy.host import Host
from kproxy.model import Place

log = logging.getLogger(__name__)

_NETFILTER = 12
_DATAGRAM = 1 << 20
_SECONDS = 10
_GATHER = 0.05  # seconds in which changes gather, so that a burst lists the table once


class Conntrack:
    """Gathers places whose endpoints have changed; `run` then looks at their flows, in a thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._places: dict[Place, frozenset[Address]] = {}
        self._networks: tuple[Network, ...] = ()
        self._wake = asyncio.Event()
        self.forgotten = 0  # flows, since the start

    def look_at(self, places: Mapping[Place, frozenset[Address]], networks: tuple[Network, ...]) -> None:
        """Look at the flows of these places soon. Never waits."""
        if places:
            self._places.update(places)
            self._networks = networks
            self._wake.set()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER)
            self._wake.clear()
            watched, self._places = Watched(self._places, self._networks), {}
            try:
                self.forgotten += await asyncio.to_thread(forget, self._host, watched)
            except OSError as error:
                log.warning("stale UDP flows could not be looked for: %s", error)


def forget(host: Host, watched: Watched) -> int:
    """Forget every stale flow; returns their number."""
    count = 0
    with host.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as opened:
        opened.bind((0, 0))
        opened.settimeout(_SECONDS)
        for family in sorted({place.family for place in watched.places}):
            for flow in [flow for flow in _flows(opened, family) if watched.is_stale(flow)]:
                count += _delete(opened, flow)
    return count


def _flows(opened: socket.socket, family: int) -> Iterator[Flow]:
    opened.send(flows.list_message(1, family))
    while True:
        for reply in netlink.replies(opened.recv(_DATAGRAM)):
            if reply.error is not None:
                if reply.error:
                    raise OSError(reply.error, f"cannot list flows: {os.strerror(reply.error)}")
                return
            if (flow := flows.read(reply)) is not None:
                yield flow


def _delete(opened: socket.socket, flow: Flow) -> bool:
    opened.send(flows.delete_message(2, flow))
    for reply in netlink.replies(opened.recv(_DATAGRAM)):
        if reply.error not in (None, 0, errno.ENOENT):
            raise OSError(reply.error, f"cannot forget a flow: {os.strerror(reply.error or 0)}")
        return reply.error == 0
    return False
