"""The running server: a configuration's places, chains and what is told of them; and its exchange for another.

A reload keeps sockets where places stay, and chains (with all they know) where settings stay. A new chain takes over
when it is ready, so that no query is lost and none is answered by half a world.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass, field, replace

from kapi.events import Recorder
from kapi.source import Source
from kdns import metrics
from kdns.calls import Calls
from kdns.certificate import Certificate
from kdns.chain import Chain, Setup, load
from kdns.changes import Changes
from kdns.edns import Options
from kdns.errors import SettingInvalid
from kdns.histogram import braced
from kdns.limiter import Limiter
from kdns.metrics import Metrics
from kdns.observe import Seen, log_line
from kdns.pulse import Pulse
from kdns.router import Router
from kdns.server import Limits, Listener, Server, bind
from kdns.settings import Configuration, Listen, Settings
from kdns.wire import HEADER

log = logging.getLogger(__name__)

_GARBAGE = 50_000, 20, 100  # objects made before garbage is looked for: most of what is made here stays
_PATIENCE = 30.0  # seconds that a new chain may take to be ready before it takes over nevertheless


@dataclass
class _Observer:
    """Counts the queries of a place, and logs them where that is asked for."""

    metrics: Metrics
    router: Router
    log: str | None = None

    @property
    def each(self) -> bool:
        """See `Observer.each`."""
        return self.log is not None

    def one(self, seen: Seen) -> None:
        """See `Observer.one`."""
        end = seen.query.find(0, HEADER) + 1
        self.metrics.count(seen, self.router.zone(seen.query[HEADER:end].lower()))
        if self.log:
            print(log_line(seen, self.log), flush=True)  # noqa: T201  # the query log goes where CoreDNS' goes

    def answered_https(self, status: int) -> None:
        """Count a reply over HTTPS."""
        self.metrics.https[status] += 1

    def many(self, replied: Sequence[tuple[bytes, bytes, str]], seconds: float, family: str) -> None:
        """See `Observer.many`."""
        self.metrics.count_many(replied, seconds, family, None if self.router.only_root else self.router.zone)


@dataclass
class _Place:
    """Somewhere that queries come in."""

    listen: Listen
    listener: Listener
    server: Server
    observer: _Observer
    certificate: Certificate | None = None
    task: asyncio.Task[None] | None = None


@dataclass
class _Running:
    """A chain and what it does in the background."""

    chain: Chain
    task: asyncio.Task[None]


@dataclass
class App:
    """Serves `configuration` within `run`; `secret` is that of `Setup`, and makes cookies, too."""

    configuration: Configuration
    source: Source | None
    recorder: Recorder
    secret: bytes
    limits: Limits = field(default_factory=Limits)
    changes: Changes = field(default_factory=Changes)
    also: list[Calls | Pulse] = field(default_factory=list)  # what else has numbers
    reloads_failed: int = 0
    _places: dict[Listen, _Place] = field(default_factory=dict)
    _chains: dict[Settings, _Running] = field(default_factory=dict)

    async def run(self, started: Callable[[], None]) -> None:
        """Serve until cancelled; calls `started` once sockets are bound and answer."""
        gc.set_threshold(*_GARBAGE)
        async with asyncio.TaskGroup() as tasks:
            try:
                self._apply(self.configuration, tasks)
                started()
                await self._settled()
                gc.freeze()  # what is known of the cluster is no garbage, and need not be looked through again
                await asyncio.Event().wait()
            finally:
                for place in self._places.values():
                    if place.task is not None:
                        place.task.cancel()
                for running in self._chains.values():
                    running.task.cancel()

    @property
    def listeners(self) -> list[tuple[Listen, Listener]]:
        """What is bound."""
        return [(place.listen, place.listener) for place in self._places.values()]

    @property
    def chains(self) -> list[Chain]:
        """What answers."""
        return [running.chain for running in self._chains.values()]

    @property
    def waiting(self) -> tuple[str, ...]:
        """The plug-ins that are not ready."""
        return tuple(dict.fromkeys(name for chain in self.chains for name in chain.waiting))

    def numbers(self) -> Iterator[tuple[str, str, str]]:
        """Give all metrics."""
        yield "coredns_build_info", "gauge", 'coredns_build_info{version="kdns"} 1'
        failures = sum(place.server.failures for place in self._places.values())
        yield "coredns_panics_total", "counter", f"coredns_panics_total {failures}"
        yield "coredns_reload_failed_total", "counter", f"coredns_reload_failed_total {self.reloads_failed}"
        version = braced((("hash", "sha512"), ("value", self.configuration.version)))
        yield "coredns_reload_version_info", "gauge", f"coredns_reload_version_info{version} 1"
        for place in self._places.values():
            yield from place.observer.metrics.lines()
        server = metrics.server_name(next(iter(self._places))) if self._places else ""
        for chain in self.chains:
            yield from metrics.plugin_lines(chain.plugins, server)
        for own in self.also:
            yield from own.lines()

    async def reload(self, read: Callable[[], Configuration], tasks: asyncio.TaskGroup) -> None:
        """Look for another configuration every now and then; one that is wrong changes nothing and is told of once."""
        told = ""
        while self.configuration.reload:
            await asyncio.sleep(self.configuration.reload)
            try:
                new = read()
                if new != self.configuration:
                    await self.change(new, tasks)
                told = ""
            except (SettingInvalid, OSError) as error:
                self.reloads_failed += 1
                if str(error) != told:
                    log.error("the configuration stays as it was: %s", error)
                told = str(error)

    async def change(self, new: Configuration, tasks: asyncio.TaskGroup) -> None:
        """Serve another configuration from now on. Raises `SettingInvalid` where that is not possible."""
        old = self.configuration
        if (new.access, new.health, new.metrics, new.workers) != (old.access, old.health, old.metrics, old.workers):
            log.warning("the API server, health, metrics and workers are as before: they change with a restart")
        try:
            for block in new.blocks:
                self._chain(block.settings, tasks)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._ready()
            except TimeoutError:
                log.warning("%s not ready after %g s; served nevertheless", ", ".join(self.waiting), _PATIENCE)
            self._apply(new, tasks)
        finally:
            self._forget_chains()
        log.warning("a new configuration is served")

    async def _ready(self) -> None:
        while self.waiting:  # noqa: ASYNC110  # plug-ins tell whether they are ready, not when they become so
            await asyncio.sleep(0.02)

    async def _settled(self) -> None:
        while not all(getattr(plugin, "settled", plugin.ready) for chain in self.chains for plugin in chain.plugins):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.1)

    def _apply(self, new: Configuration, tasks: asyncio.TaskGroup) -> None:
        """Bind, exchange, and give up what is not wanted any more. What is wrong raises before anything changes."""
        wanted = dict.fromkeys(place for block in new.blocks for place in block.listen)
        routers = {
            listen: Router(
                [(block.zones, self._chain(block.settings, tasks)) for block in new.blocks if listen in block.listen]
            )
            for listen in wanted
        }
        for listen, place in self._bound(routers, new).items():
            blocks = [block for block in new.blocks if listen in block.listen]
            place.observer.router = routers[listen]
            place.observer.log = next((block.settings.log for block in blocks if block.settings.log), None)
            first = blocks[0].settings
            place.server.exchange(routers[listen], self._options(first), first.answers, first.payload)
            place.server.observer = place.observer if new.metrics or place.observer.log else None
            if place.task is None:
                place.task = tasks.create_task(self._serve(place), name=f"serve {listen}")
            self._places[listen] = place
        self.configuration = new
        for listen in [listen for listen in self._places if listen not in wanted]:
            gone = self._places.pop(listen)
            if gone.task is not None:
                gone.task.cancel()

    def _forget_chains(self) -> None:
        """End the chains that the configuration served has no use for."""
        used = [block.settings for block in self.configuration.blocks]
        for settings in [known for known in self._chains if known not in used]:
            self._chains.pop(settings).task.cancel()

    def _bound(self, routers: Mapping[Listen, Router], new: Configuration) -> dict[Listen, _Place]:
        """Give every place that is wanted: those there are, and new ones, all of them or none."""
        with ExitStack() as undo:
            found = {}
            for listen, router in routers.items():
                found[listen] = self._places.get(listen) or self._place(listen, router, new)
                if listen not in self._places:
                    undo.callback(found[listen].listener.close)
            undo.pop_all()
            return found

    def _chain(self, settings: Settings, tasks: asyncio.TaskGroup) -> Chain:
        if settings not in self._chains:
            setup = Setup(settings, time.time, time.monotonic, self.source, self.recorder)
            chain = load(replace(setup, changes=self.changes, secret=self.secret))
            self._chains[settings] = _Running(chain, tasks.create_task(chain.run(), name="chain"))
        return self._chains[settings].chain

    def _place(self, listen: Listen, router: Router, new: Configuration) -> _Place:
        certificate = Certificate(listen) if listen.scheme != "dns" else None
        listener = bind(listen.address, listen.port, shared=new.workers > 1)
        observer = _Observer(Metrics(metrics.server_name(listen)), router)
        limiter = Limiter(new.limit, time.monotonic) if new.limit else None
        return _Place(listen, listener, Server(router, self.limits, limiter=limiter), observer, certificate)

    def _options(self, settings: Settings) -> Options:
        return Options(self.secret, time.time, settings.nsid, self.limits.idle)

    async def _serve(self, place: _Place) -> None:
        """Answer at one place until cancelled."""
        async with AsyncExitStack() as stack:
            stack.enter_context(closing(place.listener))
            if place.certificate is None:
                await place.server.run([place.listener])
                return
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(place.certificate.follow())
            if place.listen.scheme == "tls":
                server = await place.server.serve_streams(place.listener.tcp, tasks, place.certificate.context)
                stack.callback(server.close)
            else:
                from kdns import web  # noqa: PLC0415  # aiohttp is slow to import, and not every use needs it

                answered = place.observer.answered_https
                served = web.over_https(place.server, place.listener.tcp, place.certificate.context, answered)
                await stack.enter_async_context(served)
            await asyncio.Event().wait()
