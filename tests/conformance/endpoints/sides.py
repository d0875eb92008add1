"""Two clusters alike but for who writes their slices: kendpoints here, the released kube-controller-manager there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kapi import kubeconfig
from kapi.client import Client
from kapi.events import Recorder
from kapi.kubeconfig import Access
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore
from kendpoints.controller import Controller, Settings

BINARY = Path(__file__).parents[3] / "peers/bin/kube-controller-manager"
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
    if not BINARY.exists():
        pytest.skip("the released kube-controller-manager has not been built: scripts/peers kube-controller-manager")
    async with ApiServer(MemoryStore()) as server:
        with TemporaryDirectory() as folder:
            listening = socket.create_server(("127.0.0.1", 0))
            await server.listen(listening)
            access = Path(folder) / "config"
            kubeconfig.write(access, Access(server="http://{}:{}".format(*listening.getsockname())), "peer")
            process = await asyncio.create_subprocess_exec(
                BINARY,
                *_flags(access, settings, admin),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                yield server.client()
            finally:
                process.kill()
                await process.wait()


def _flags(access: Path, settings: Settings, admin: int) -> list[str]:
    return [
        f"--kubeconfig={access}",
        f"--controllers={CONTROLLERS}",
        "--leader-elect=false",
        f"--secure-port={admin}",
        "--bind-address=127.0.0.1",
        f"--cert-dir={access.parent}",
        "--authorization-always-allow-paths=/metrics",
        "--kube-api-content-type=application/json",
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
        f"--max-endpoints-per-slice={settings.max_endpoints_per_slice}",
        f"--endpointslice-updates-batch-period={settings.batch_period}s",
        f"--endpoint-updates-batch-period={settings.batch_period}s",
    ]
