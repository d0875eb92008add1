"""Finds out whether what is forwarded comes back: then every question would go round until all are lost.

At the start a name that nobody else can know is asked for upstream. Seen here again, by any worker, it has come round.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import ClassVar

from kdns import names
from kdns.chain import Rest, Setup
from kdns.errors import LoopFound, UpstreamFailed
from kdns.plugins.forward import Forward, Group
from kdns.plugins.forward import setup as forward_setup
from kdns.query import Query, parse
from kdns.settings import Upstream
from kdns.wire import REFUSED, Answer

_HINFO = 13  # a type that nobody asks for
_TRIES = 3
_PAUSE = 2.0  # seconds: the server may not be listening yet


def setup(setup: Setup) -> Loop | None:
    """Look for loops where the settings ask for it and anything is forwarded."""
    forward = forward_setup(setup) if setup.settings.loop else None
    return Loop(forward, setup.secret) if forward is not None else None


class Loop:
    """Hands everything on, and knows its own question when it comes back."""

    name: ClassVar[str] = "loop"
    ready = True

    def __init__(self, forward: Forward, secret: bytes) -> None:
        self._forward = forward
        mark = hashlib.blake2b(b"loop", key=secret, digest_size=16).hexdigest()
        message = (
            b"\0\0\1\0\0\1" + bytes(6) + names.to_wire(f"{mark[:16]}.{mark[16:]}") + _HINFO.to_bytes(2, "big") + b"\0\1"
        )
        query = parse(message)
        assert query is not None
        self._query = query
        self._seen = False

    def lookup(self, question: bytes) -> Answer | None:  # noqa: ARG002  # the chain's signature
        """See `Plugin.lookup`: nothing is known here."""
        return None

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        if query.question == self._query.question:
            self._seen = True
            return REFUSED
        return await rest.next(query)

    async def run(self) -> None:
        """Ask, a few times; raises `LoopFound`."""
        try:
            for _ in range(_TRIES):
                await asyncio.sleep(_PAUSE)
                for group in self._forward.groups:
                    for server in group.upstreams:
                        await self._try(group, server)
        finally:
            for group in self._forward.groups:
                group.streams.close()

    async def _try(self, group: Group, server: Upstream) -> None:
        with contextlib.suppress(UpstreamFailed):
            await group.ask_one(server, self._query)
        if self._seen:
            raise LoopFound(
                f"what is forwarded to {server} comes back here: a loop; name upstreams that are not this "
                "server, for example in the kubelet's --resolv-conf"
            )
