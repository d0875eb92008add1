"""The admin pages: /healthz, /livez, /readyz and /metrics. On aiohttp."""

from __future__ import annotations

from aiohttp import web

from kapi.election import Elector
from kendpoints.controller import Controller
from kendpoints.metrics import QUEUES

Runner = web.AppRunner


async def serve(controller: Controller, elector: Elector | None, host: str, port: int) -> Runner:
    """Serve the pages; call `cleanup()` of what is returned to end. Raises OSError."""
    app = web.Application()

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def ready(_: web.Request) -> web.Response:
        """Ready once the cluster is known; who waits for the lead is ready, too."""
        waits = elector is not None and not elector.leading
        if waits or controller.synced:
            return web.Response(text="ok")
        return web.Response(status=503, text="the caches are not filled yet")

    async def metrics(_: web.Request) -> web.Response:
        text = controller.metrics.text(_gauges(controller, elector))
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    for path, handler in (("/healthz", alive), ("/livez", alive), ("/readyz", ready), ("/metrics", metrics)):
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _gauges(controller: Controller, elector: Elector | None) -> list[tuple[str, str, float]]:
    found = [("workqueue_depth", f'name="{QUEUES[part]}"', float(n)) for part, n in controller.waiting.items()]
    if elector is not None:
        found.append(("leader_election_master_status", f'name="{elector.name}"', float(elector.leading)))
    return found
