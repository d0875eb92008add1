"""Everything else is asked upstream.

The closest zone that holds a name decides whom to ask; the policy decides in which order, and those that failed lately
come last. They are asked every now and then whether they are back.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from kdns import names, resolvconf, upstream
from kdns.chain import Rest, Setup
from kdns.errors import UpstreamFailed
from kdns.histogram import SECONDS, Histogram
from kdns.query import Query, asking
from kdns.settings import Forwarding, Upstream
from kdns.streams import Streams
from kdns.wire import REFUSED, SERVFAIL, Answer, Type

log = logging.getLogger(__name__)

_HOLD = 5.0  # seconds for which an upstream that failed is asked after the others, unless a probe finds it well
_LOOK = 5.0  # how often, in seconds, a resolv.conf is looked at


def setup(setup: Setup) -> Forward | None:
    """Forward to the upstreams of the settings, if there are any."""
    settings = setup.settings
    if not settings.forwards:
        return None
    return Forward([Group(each, settings.timeout, setup.monotonic) for each in settings.forwards])


class Group:
    """The upstreams of one zone."""

    def __init__(self, forwarding: Forwarding, timeout: float, monotonic: Callable[[], float]) -> None:
        self.zone = names.to_wire(forwarding.zone)
        self.forwarding = forwarding
        self.rejected = 0  # questions refused because too many were out
        self.broken = 0  # questions for which no upstream was well
        self.seconds: dict[Upstream, Histogram] = {}  # what answers took
        self.probe_failures: dict[Upstream, int] = {}
        self.streams = Streams()
        self._timeout = timeout
        self._monotonic = monotonic
        self._excepted = tuple(names.to_wire(zone) for zone in forwarding.excepted)
        self._followed: dict[str, tuple[Upstream, ...]] = {}
        self._held: dict[Upstream, float] = {}  # until when
        self._failures: dict[Upstream, int] = {}
        self._asking = 0
        self._turn = 0
        self.follow()

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Everyone that may be asked, in the order given."""
        followed = (server for file in self.forwarding.files for server in self._followed.get(file, ()))
        return (*self.forwarding.upstreams, *followed)

    def takes(self, name: bytes) -> bool:
        """Whether a name below the zone is not one of the exceptions."""
        return not any(name == zone or name.endswith(zone) for zone in self._excepted)

    def follow(self) -> None:
        """Read the files again; one that cannot be read changes nothing."""
        for file in self.forwarding.files:
            try:
                found = resolvconf.upstreams(Path(file).read_text(), self.forwarding.never)
            except (OSError, UnicodeDecodeError) as error:
                log.warning("%s cannot be read, its upstreams stay as they were: %s", file, error)
                continue
            if found != self._followed.get(file):
                log.info("upstreams by %s: %s", file, ", ".join(map(str, found)))
                self._followed[file] = found

    async def ask(self, query: Query) -> Answer:
        """Ask one upstream after the other; an unhelpful answer is the answer only where no other is better."""
        if self._asking >= self.forwarding.most:
            self.rejected += 1
            return REFUSED
        self._asking += 1
        try:
            return await self._ask_all(query)
        finally:
            self._asking -= 1

    async def ask_one(self, server: Upstream, query: Query) -> Answer:
        """Ask one upstream, whatever is known of it. Raises `UpstreamFailed`."""
        return await upstream.ask(self.streams, server, query, self._timeout, tcp=self.forwarding.tcp)

    async def probe(self) -> None:
        """Ask those that failed for the root's name servers: any answer shows that they are back."""
        for server in list(self._held):
            try:
                await self.ask_one(server, asking(names.ROOT, Type.NS, _PROBE))
            except UpstreamFailed:
                self._held[server] = self._monotonic() + _HOLD
                self.probe_failures[server] = self.probe_failures.get(server, 0) + 1
            else:
                self._well(server)

    async def _ask_all(self, query: Query) -> Answer:
        answer = SERVFAIL
        for server in self._in_order():
            started = self._monotonic()
            try:
                answer = await self.ask_one(server, query)
            except UpstreamFailed as error:
                self._failed(server)
                log.info("asking for %s: %s", names.to_text(query.name), error)
                continue
            self.seconds.setdefault(server, Histogram(SECONDS)).observe(self._monotonic() - started)
            self._well(server)
            if answer.rcode not in self.forwarding.failover:
                break
        return answer

    def _in_order(self) -> list[Upstream]:
        """Put upstreams in the order in which they are asked."""
        found = list(self.upstreams)
        if self.forwarding.policy == "random":
            random.shuffle(found)
        elif self.forwarding.policy == "round_robin" and found:
            self._turn = (self._turn + 1) % len(found)
            found = found[self._turn :] + found[: self._turn]
        now = self._monotonic()
        held = {server for server, until in self._held.items() if until > now}
        self.broken += bool(found) and held.issuperset(found)
        return sorted(found, key=held.__contains__)

    def _failed(self, server: Upstream) -> None:
        self._failures[server] = self._failures.get(server, 0) + 1
        if self.forwarding.max_fails and self._failures[server] >= self.forwarding.max_fails:
            self._held[server] = self._monotonic() + _HOLD

    def _well(self, server: Upstream) -> None:
        self._held.pop(server, None)
        self._failures.pop(server, None)


_PROBE = Query(0, 0x0100, b"\0\0\2\0\1", b"\0\0\2\0\1")  # like this: recursion desired


class Forward:
    """Finds the group of upstreams for a name."""

    name: ClassVar[str] = "forward"
    ready = True

    def __init__(self, groups: list[Group]) -> None:
        self.groups = groups
        self._zones: dict[bytes, list[Group]] = {}
        for group in groups:
            self._zones.setdefault(group.zone, []).append(group)

    def lookup(self, question: bytes) -> Answer | None:  # noqa: ARG002  # the chain's signature
        """See `Plugin.lookup`: nothing is known here."""
        return None

    async def resolve(self, query: Query, rest: Rest) -> Answer:
        """See `Plugin.resolve`."""
        group = self.group(query.name)
        return await (group.ask(query) if group is not None else rest.next(query))

    def group(self, name: bytes) -> Group | None:
        """Give those who are asked for a name (lower-case), if anybody is."""
        return next((group for group in self._closest(name) if group.takes(name)), None)

    async def run(self) -> None:
        """Look after upstreams and the files that name them, until cancelled; then close what is open."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for group in self.groups:
                    tasks.create_task(_every(group.forwarding.probe, group.probe))
                    tasks.create_task(_every(_LOOK, group.follow))
        finally:
            for group in self.groups:
                group.streams.close()

    def _closest(self, name: bytes) -> Iterator[Group]:
        """Go through the groups of the closest zone, then of those above it."""
        while True:
            yield from self._zones.get(name, ())
            if name == names.ROOT:
                return
            name = names.parent(name)


async def _every(seconds: float, job: Callable[[], object]) -> None:
    while True:
        await asyncio.sleep(seconds)
        done = job()
        if asyncio.iscoroutine(done):
            await done
