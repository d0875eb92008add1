"""Tells over HTTP whether the process lives (/health) and whether it knows the whole cluster (/ready)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from kdns.chain import Chain


@asynccontextmanager
async def serving(chain: Chain, stop: asyncio.Event, address: str, port: int) -> AsyncIterator[int]:
    """Serve both for as long as the context lasts; gives the port that was bound. After `stop` neither is well."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(status=503, text="stopping\n") if stop.is_set() else web.Response(text="OK\n")

    async def ready(_: web.Request) -> web.Response:
        waiting = ("stopping",) if stop.is_set() else chain.waiting
        return web.Response(status=503, text=",".join(waiting) + "\n") if waiting else web.Response(text="OK\n")

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/ready", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
