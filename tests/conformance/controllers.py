"""The released kube-controller-manager, with some of its controllers, in a cluster of our API server."""

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
from kapi.kubeconfig import Access
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore

BINARY = Path(__file__).parents[2] / "peers/bin/kube-controller-manager"


@asynccontextmanager
async def managed(controllers: str, *flags: str) -> AsyncIterator[Client]:
    """A cluster in which these controllers are at work."""
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
                f"--kubeconfig={access}",
                f"--cert-dir={folder}",
                f"--controllers={controllers}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                "--kube-api-content-type=application/json",
                "--kube-api-qps=1000",
                "--kube-api-burst=1000",
                *flags,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                yield server.client()
            finally:
                process.kill()
                await process.wait()
