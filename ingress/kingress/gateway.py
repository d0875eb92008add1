"""What every connection of one process shares: the route table, the upstreams, the limits, and what is counted."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from kingress.match import Table
from kingress.settings import Settings
from kingress.upstreams import Upstreams

if TYPE_CHECKING:
    from kingress.exchange import Exchange
    from kingress.h1.client import ClientConnection


class Gateway:
    """The data path's surroundings."""

    __slots__ = ("clients", "draining", "now", "settings", "table", "upstreams")

    def __init__(self, settings: Settings, table: Table, upstreams: Upstreams) -> None:
        self.settings = settings
        self.table = table
        self.upstreams = upstreams
        self.clients: set[ClientConnection] = set()
        self.draining = False
        self.now = time.monotonic

    def new_id(self) -> bytes:
        """Give a request id: 32 hexadecimal digits."""
        return b"%032x" % random.getrandbits(128)

    def failed(self, exchange: Exchange, why: str) -> None:
        """An attempt to have an exchange answered by an endpoint has failed."""

    def upgraded(self, exchange: Exchange) -> None:
        """An exchange has become a tunnel; `finished` follows when it ends."""

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
