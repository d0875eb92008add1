"""Everything else is asked upstream: in the order given, those that failed lately last.

A zone may have upstreams of its own (a stub zone); the closest zone that holds a name decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar

from kdns import names, upstream
from kdns.chain import Rest, Settings, Setup, Upstream
from kdns.errors import UpstreamFailed
from kdns.query import Query
from kdns.wire import SERVFAIL, Answer, Rcode

log = logging.getLogger(__name__)

_HOLD = 5.0  # seconds for which an upstream that failed is tried only after the others
_MOST_ASKING = 1000  # questions out at a time: beyond that, more of them would only time out
_UNHELPFUL = (Rcode.SERVFAIL, Rcode.NOTIMP, Rcode.REFUSED)


def setup(setup: Setup) -> Forward | None:
    """Forward to the upstreams of the settings, if there are any."""
    return Forward(setup.settings, setup.monotonic) if setup.settings.forwards else None


class Forward:
    """Asks upstreams until one answers."""

    name: ClassVar[str] = "forward"
    ready = True

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._timeout = settings.timeout
        self._monotonic = monotonic
        self._zones: dict[bytes, list[Upstream]] = {names.ROOT: list(settings.upstreams)}
        for zone, server in settings.stubs:
            self._zones.setdefault(names.to_wire(zone), []).append(server)
        self._held: dict[Upstream, float] = {}  # until when
        self._asking = 0

    def lookup(self, question: bytes) -> Answer | None:  # noqa: ARG002  # the chain's signature
        """See `Plugin.lookup`: nothing is known here."""
        return None

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        servers = self._servers(query.name)
        if not servers:
            return await rest.next(query)
        if self._asking >= _MOST_ASKING:
            return SERVFAIL
        self._asking += 1
        try:
            return await self._ask_all(query, servers)
        finally:
            self._asking -= 1

    def _servers(self, name: bytes) -> list[Upstream]:
        """Give the upstreams of the closest zone."""
        while name not in self._zones and name != names.ROOT:
            name = names.parent(name)
        return self._zones.get(name, [])

    async def _ask_all(self, query: Query, servers: list[Upstream]) -> Answer:
        """Ask one upstream after the other; an unhelpful answer is the answer only where no other is better."""
        answer = SERVFAIL
        for server in self._by_health(servers):
            try:
                answer = await upstream.ask(server, query, self._timeout)
            except UpstreamFailed as error:
                self._held[server] = self._monotonic() + _HOLD
                log.info("asking for %s: %s", names.to_text(query.name), error)
                continue
            self._held.pop(server, None)
            if answer.rcode not in _UNHELPFUL:
                break
        return answer

    def _by_health(self, servers: list[Upstream]) -> list[Upstream]:
        now = self._monotonic()
        return sorted(servers, key=lambda server: self._held.get(server, 0.0) > now)
