"""Two clusters alike but for who writes their slices: kendpoints here, the released kube-controller-manager there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conformance.controllers import managed

from kapi.client import Client
from kapi.events import Recorder
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kendpoints.controller import Controller, Settings

CONTROLLERS = "endpointslice-controller,endpoints-controller,endpointslice-mirroring-controller"


@asynccontextmanager
async def ours(settings: Settings) -> AsyncIterator[Client]:
    """A cluster whose slices and Endpoints our controller writes."""
    async with controlled(settings) as (client, _):
        yield client


@asynccontextmanager
async def controlled(settings: Settings) -> AsyncIterator[tuple[Client, Controller]]:
    """The same, and the controller."""
    async with ApiServer(MemoryStore()) as server:
        client = server.client()
        source, recorder = ApiSource(client), Recorder("endpoint-slice-controller", client)
        controller = Controller(client, source, recorder, settings)
        running = asyncio.gather(source.run(), recorder.run(), controller.run())
        try:
            yield client, controller
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def released(settings: Settings, admin: int = 0) -> AsyncIterator[Client]:
    """A cluster whose slices and Endpoints the released controllers write; their pages are at the port `admin`."""
    async with managed(CONTROLLERS, *_flags(settings, admin)) as client:
        yield client


def _flags(settings: Settings, admin: int) -> list[str]:
    return [
        f"--secure-port={admin}",
        "--authorization-always-allow-paths=/metrics",
        f"--max-endpoints-per-slice={settings.max_endpoints_per_slice}",
        f"--endpointslice-updates-batch-period={settings.batch_period}s",
        f"--endpoint-updates-batch-period={settings.batch_period}s",
    ]
