"""The admin pages: /healthz, /readyz, /metrics and /routes. On aiohttp, apart from the data path."""

from __future__ import annotations

from aiohttp import web

from kingress.controller import Controller
from kingress.gateway import Gateway
from kingress.listing import rows

Runner = web.AppRunner


async def serve(gateway: Gateway, controller: Controller, host: str, port: int) -> Runner:
    """Serve the pages; call `cleanup()` of what is returned to end. Raises OSError."""
    app = web.Application()

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        """Ready once all that is in the cluster has become routes, until the end begins."""
        if gateway.draining:
            return web.Response(status=503, text="draining\n")
        return web.Response(text="ok\n") if controller.synced else web.Response(status=503, text="not synced\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=gateway.metrics.text(_gauges(gateway)), content_type="text/plain", charset="utf-8")

    async def routes(_: web.Request) -> web.Response:
        return web.json_response(rows(gateway.table, controller.resolve))

    for handler in (healthz, readyz, metrics, routes):
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _gauges(gateway: Gateway) -> dict[str, tuple[str, float]]:
    return {
        "kingress_client_connections": ("Connections of clients that are open.", len(gateway.clients)),
        "kingress_upstream_connections": ("Connections to endpoints.", len(gateway.upstreams.connections)),
        "kingress_upgraded_connections": ("Tunnels, such as WebSockets.", gateway.metrics.upgraded),
        "kingress_hosts": ("Hosts that rules name.", len(gateway.table.hosts)),
    }
