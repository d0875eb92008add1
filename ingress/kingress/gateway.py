"""What every connection of one process shares: the route table, the upstreams, the limits, and what is counted."""

from __future__ import annotations

import logging
import os
import random
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from kingress.access import AccessLog
from kingress.crowd import Crowd
from kingress.forwarded import Forwarding
from kingress.h1.plain import PlainReader
from kingress.match import Table
from kingress.metrics import Metrics
from kingress.settings import Settings
from kingress.upstreams import Upstreams

if TYPE_CHECKING:
    from kingress.exchange import Exchange
    from kingress.h1.client import ClientConnection

log = logging.getLogger(__name__)

_IDS = 256  # drawn at once
_CLIENTS = 1024  # that are remembered


class Gateway:
    """The data path's surroundings."""

    def __init__(
        self,
        settings: Settings,
        table: Table,
        upstreams: Upstreams,
        metrics: Metrics,
        *,
        access: AccessLog | None = None,
        crowd: Crowd | None = None,
    ) -> None:
        self.settings = settings
        self.table = table
        self.upstreams = upstreams
        self.metrics = metrics
        self.clients: set[ClientConnection] = set()
        self.plain = PlainReader(settings.head_limit, settings.headers_limit, settings.target_limit)
        self.crowd = crowd or Crowd()
        self.forwarding = lru_cache(maxsize=_CLIENTS)(self._forwarding)  # clients come again
        self.draining = False
        self.now = time.monotonic
        self.draw = random.random
        self.date = formatdate(usegmt=True).encode("ascii")  # of responses that do not say when they were made
        self._access = access
        self._lost = 0  # lines of the access log
        self._ids: list[bytes] = []  # of requests to come

    def _forwarding(self, peer: str, scheme: str, port: int) -> Forwarding:
        return Forwarding(peer, scheme, port, self.settings.trusted)

    def new_id(self) -> bytes:
        """Give a request id: 32 hexadecimal digits. They are drawn by the hundred."""
        if not self._ids:
            drawn = os.urandom(16 * _IDS).hex().encode("ascii")
            self._ids = [drawn[start : start + 32] for start in range(0, len(drawn), 32)]
        return self._ids.pop()

    def failed(self, exchange: Exchange) -> None:
        """An attempt to have an exchange answered by an endpoint has failed."""
        if exchange.route is not None:
            self.metrics.fail(exchange.route.backend.namespace, exchange.route.backend.service)

    def upgraded(self) -> None:
        """An exchange has become a tunnel."""
        self.metrics.upgraded += 1

    def tunnelled(self, exchange: Exchange) -> None:
        """The tunnel that an exchange has become has ended."""
        self.metrics.upgraded -= 1
        self.finished(exchange)

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
        seconds = self.now() - exchange.started
        self.metrics.count(exchange.route, exchange.status, seconds, exchange.sent)
        if self._access is not None:
            self._access.line(exchange, seconds)

    def tick(self) -> None:
        """Let time pass for all connections."""
        self.date = formatdate(usegmt=True).encode("ascii")
        for client in list(self.clients):
            client.tick()
        self.upstreams.tick()
        self.metrics.gather()
        if self._access is not None:
            self._access.tick()
            self._lament(self._access.lost)

    def _lament(self, lost: int) -> None:
        """Tell, in the log that is not this one, that lines of the access log are lost."""
        if lost > self._lost:
            log.warning("the access log cannot be written: %d lines are lost so far", lost)
            self._lost = lost

    def flush(self) -> None:
        """Write what waits in the access log."""
        if self._access is not None:
            self._access.flush()
