"""Makes the kernel forget stale UDP flows (`kproxy.flows` says which), beside the sync and never in its way."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

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
_RETRY, _RETRY_LIMIT = 1.0, 60.0  # seconds


class Conntrack:
    """Gathers places whose endpoints have changed; `run` then looks at their flows, in a thread.

    A place is looked at until that has succeeded: a sender that never pauses would keep its stale flow alive for ever.
    """

    def __init__(self, host: Host, *, retry_seconds: float = _RETRY) -> None:
        self._host = host
        self._retry_seconds = retry_seconds  # the first wait after a failure; it doubles up to `_RETRY_LIMIT`
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
        wait: float | None = None
        while True:
            await self._change(wait)
            watched, self._places = Watched(self._places, self._networks), {}
            failure = await self._look(watched)
            if not failure:
                wait = None
                continue
            self._places = {**watched.places, **self._places}
            wait = min(wait * 2, _RETRY_LIMIT) if wait else self._retry_seconds
            log.warning("stale UDP flows could not all be forgotten: %s; trying again in %.1f s", failure, wait)

    async def _look(self, watched: Watched) -> str:
        """Forget what is stale; says what stood in the way, if anything did."""
        try:
            forgotten, refused = await asyncio.to_thread(forget, self._host, watched)
        except OSError as error:
            return str(error)
        self.forgotten += forgotten
        return f"{refused[0]} ({len(refused)} flows)" if refused else ""

    async def _change(self, seconds: float | None) -> None:
        """Wait for a change, at most so long, and for those that come with it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
            await asyncio.sleep(_GATHER)
        self._wake.clear()


def forget(host: Host, watched: Watched) -> tuple[int, list[OSError]]:
    """Forget every stale flow; returns how many were, and why others could not be. Raises OSError without a list."""
    count = 0
    refused: list[OSError] = []
    with host.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as opened:
        opened.bind((0, 0))
        opened.settimeout(_SECONDS)
        for family in sorted({place.family for place in watched.places}):
            for flow in [flow for flow in _flows(opened, family) if watched.is_stale(flow)]:
                try:
                    count += _delete(opened, flow)
                except TimeoutError:
                    raise  # the kernel does not answer: its answers would be taken for those to the next flow
                except OSError as error:
                    refused.append(error)
    return count, refused


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
