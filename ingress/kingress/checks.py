"""Asks endpoints whether they are well, where an Ingress wants that: a request of the ingress' own, every few seconds.

An answer of 2xx or 3xx in time is healthy. One bad answer is enough to leave an endpoint alone, and one good answer to
come back to it; where no endpoint is healthy all are used, for then it may be the check that is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib

from kingress.balance import Peer
from kingress.pool import Backend
from kingress.settings import Settings
from kingress.upstreams import Upstreams

_AT_ONCE = 32  # checks under way


async def run(upstreams: Upstreams, settings: Settings) -> None:
    """Check for ever."""
    turn = asyncio.Semaphore(_AT_ONCE)
    while True:
        asked = [backend for backend in upstreams.backends if backend.conduct.health_path]
        await asyncio.gather(*(_check(backend, peer, settings, turn) for backend in asked for peer in backend.peers))
        await asyncio.sleep(settings.check_interval)


async def _check(backend: Backend, peer: Peer, settings: Settings, turn: asyncio.Semaphore) -> None:
    async with turn:
        healthy = await _is_healthy(backend, peer, settings)
    if peer.unhealthy is healthy:
        peer.unhealthy = not healthy
        backend.sort_out()


async def _is_healthy(backend: Backend, peer: Peer, settings: Settings) -> bool:
    name = backend.server_name
    request = f"GET {backend.conduct.health_path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    writer = None
    try:
        async with asyncio.timeout(backend.conduct.connect_timeout or settings.connect_timeout):
            reader, writer = await asyncio.open_connection(
                peer.host, peer.port, ssl=backend.tls, server_hostname=name if backend.tls else None
            )
            writer.write(request.encode("ascii"))
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.close()
    parts = line.split()
    return len(parts) > 1 and parts[0].startswith(b"HTTP/1.") and parts[1][:1] in (b"2", b"3")
