"""The admin pages: health, metrics, routes, and one for people. On aiohttp, apart from the data path."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

from kingress.listing import certificates, rows
from kingress.mates import Mates
from kingress.state import State

Runner = web.AppRunner

_SAFE = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Pages:
    """The handlers. Each answers for all processes of the ingress."""

    def __init__(self, state: State, mates: Mates) -> None:
        self._state = state
        self._mates = mates

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether this process runs its loop."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Ready once all that is in the cluster has become routes in every process, until the end begins."""
        if self._state.gateway.draining:
            return web.Response(status=503, text="draining\n")
        others = await self._mates.ask()
        ready = self._state.ready and all(other is not None and other["ready"] for other in others)
        return web.Response(text="ok\n") if ready else web.Response(status=503, text="not synced\n")

    async def metrics(self, _: web.Request) -> web.Response:
        """What was counted, in Prometheus' text format."""
        others = [other for other in await self._mates.ask() if other is not None]
        return web.Response(text=self._state.text(others), content_type="text/plain", charset="utf-8")

    async def routes(self, _: web.Request) -> web.Response:
        """Every route, as JSON."""
        return web.json_response(rows(self._state.gateway.table, self._state.controller.resolve), headers=_SAFE)

    async def certificates(self, _: web.Request) -> web.Response:
        """Every Secret that is named for TLS, as JSON."""
        return web.json_response(certificates(self._state.controller.tls), headers=_SAFE)

    async def page(self, request: web.Request) -> web.Response:
        """The page for people, and its parts."""
        name = request.match_info.get("name") or "index.html"
        kinds = {"index.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
        if name not in kinds:
            raise web.HTTPNotFound
        text = files("kingress").joinpath("page", name).read_text(encoding="utf-8")
        return web.Response(text=text, content_type=kinds[name], charset="utf-8", headers=_SAFE)


async def serve(state: State, mates: Mates, host: str, port: int, *, shared: bool = False) -> Runner:
    """Serve the pages; call `cleanup()` of what is returned to end. Raises OSError.

    `shared`: another ingress may still serve its own there, because this one is taking over from it.
    """
    app, pages = web.Application(), Pages(state, mates)
    for handler in (pages.healthz, pages.readyz, pages.metrics, pages.routes, pages.certificates):
        app.router.add_get(f"/{handler.__name__}", handler)
    app.router.add_get("/", pages.page)
    app.router.add_get("/page/{name}", pages.page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port, reuse_port=shared or None).start()
    return runner
