"""What a proxy does for its node beside the rules: health checks, NodePorts on localhost, pages, and counting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address

from aiohttp import web

from kapi.network import Address, Node
from kproxy import counting, health
from kproxy.backends import Backend, Ruled, Telling
from kproxy.conntrack import Conntrack
from kproxy.counting import Counting
from kproxy.errors import ProxyError
from kproxy.health import Health, HealthChecks
from kproxy.host import Host
from kproxy.localhost import Localhost
from kproxy.metrics import Metrics
from kproxy.pages import Page, served
from kproxy.settings import LOCALHOST, PRIMARY, Bind, Settings, Traffic, addresses, on_localhost
from kproxy.sync import Done, Sync

log = logging.getLogger(__name__)

_EVERYWHERE: tuple[Address, ...] = (ip_address("0.0.0.0"), ip_address("::"))


class NodeServices:
    """Runs beside the sync of one proxy on one host. `tell` reports a problem of a Service by its key."""

    def __init__(
        self,
        host: Host,
        backend: Backend,
        settings: Settings,
        sync: Sync,
        metrics: Metrics,
        *,
        conntrack: Conntrack | None,
        node: Callable[[], Node | None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._host = host
        self._backend = backend
        self._settings = settings
        self._mode = metrics.mode
        self._sync = sync
        self._metrics = metrics
        self._conntrack = conntrack
        self._node = node
        self._checks = HealthChecks(host, self._health_addresses, self._alive, tell)
        forwards = self._mode != "userspace" and on_localhost(settings)  # that mode listens on loopback itself
        self._localhost = Localhost(host, tell) if forwards else None
        self._counting = self._counted_by() if settings.metrics and settings.traffic is not Traffic.NONE else None

    def take(self, done: Done) -> None:
        """Follow a finished sync."""
        self._checks.take(done)
        if self._localhost:
            self._localhost.take(done)
        if self._counting:
            self._counting.take(done)

    @asynccontextmanager
    async def pages(self) -> AsyncIterator[None]:
        """Serve the proxy's own pages. Raises PagesNotServed."""
        async with AsyncExitStack() as stack:
            for bind, pages in self._pages():
                await stack.enter_async_context(served(self._host, bind, pages))
            yield

    async def run(self) -> None:
        """Work for ever."""
        if not self._counting or not counting.counts(self._mode):
            await asyncio.to_thread(counting.clear, self._host)  # of a proxy before this one
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._checks.run(), name="kproxy health checks")
            if self._localhost:
                tasks.create_task(self._localhost.run(), name="kproxy localhost")

    def _pages(self) -> Iterator[tuple[Bind, dict[str, Page]]]:
        if self._settings.healthz:
            yield self._settings.healthz, {"/healthz": self._healthz, "/livez": self._livez}
        if self._settings.metrics:
            yield self._settings.metrics, {"/metrics": self._exposed, "/proxyMode": self._proxy_mode}

    def _alive(self) -> bool:
        """Whether no change has waited for too long; while the first state is put in place, all is well."""
        return not self._sync.synced.is_set() or self._sync.waiting() < self._settings.stuck_seconds

    def _health(self) -> Health:
        return Health(self._alive(), health.eligible(self._node()), self._metrics.last_synced, time.time())

    async def _healthz(self) -> web.Response:
        now = self._health()
        return self._answered("healthz", health.answer(now, now.alive and now.eligible))

    async def _livez(self) -> web.Response:
        now = self._health()
        return self._answered("livez", health.answer(now, now.alive))

    def _answered(self, name: str, response: web.Response) -> web.Response:
        self._metrics.page(name, response.status)
        return response

    async def _exposed(self) -> web.Response:
        pending = {"service": self._sync.pending.services, "endpoint": self._sync.pending.slices}
        forgotten = self._conntrack.forgotten if self._conntrack else 0
        rules = self._backend.rules() if isinstance(self._backend, Ruled) else {}
        on_localhost = self._localhost.accepted if self._localhost else 0
        own = "\n".join([*self._metrics.lines(pending, forgotten, rules, on_localhost), ""])
        return web.Response(text=own + await self._counted(), content_type="text/plain", charset="utf-8")

    def _counted_by(self) -> Counting | None:
        """Give what counts traffic in this mode: the packet filter, or the backend itself."""
        told = self._backend.traffic if isinstance(self._backend, Telling) else None
        if told is None and not counting.counts(self._mode):
            return None
        return Counting(self._host, endpoints=self._settings.traffic is Traffic.ENDPOINTS, told=told)

    async def _counted(self) -> str:
        if not self._counting:
            return ""
        try:
            return await self._counting.text()
        except (ProxyError, OSError) as error:
            log.warning("the counters of traffic could not be read: %s", error)
            return ""

    async def _proxy_mode(self) -> web.Response:
        return web.Response(text=self._mode)

    def _health_addresses(self) -> tuple[Address, ...]:
        """Say where healthCheckNodePorts answer: on the node's addresses for NodePorts, on all where these are many."""
        words = set(self._settings.node_port_addresses) - {LOCALHOST}
        primary = addresses(self._settings, self._node())
        if words == {PRIMARY} and primary:
            return primary
        return tuple(a for a in _EVERYWHERE if a.version in self._settings.families)
