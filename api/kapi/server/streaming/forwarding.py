"""Ports of a pod brought to the client, as Kubernetes' port-forward protocol carries them over SPDY.

For each connection that the client takes it opens two streams with the same `requestID`: `error`, which stays silent
unless the pod cannot be reached, and `data`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kapi.errors import ApiError
from kapi.server.kubelets import Pipe
from kapi.server.streaming.session import Session, Stream

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PROTOCOL}"  # SPDY in the messages of a WebSocket

Connect = Callable[[int], Awaitable[Pipe]]


async def forward(session: Session, connect: Connect) -> None:
    """Connect each pair of streams with the pod, until the client goes."""
    waiting: dict[str, Stream] = {}
    async with asyncio.TaskGroup() as tasks:
        while (stream := await session.accept()) is not None:
            number = stream.headers.get("requestid", "")
            other = waiting.pop(number, None)
            if other is None:
                waiting[number] = stream
                continue
            error, data = (other, stream) if other.headers.get("streamtype") == "error" else (stream, other)
            tasks.create_task(_carry(error, data, connect), name=f"forwarded connection {number}")


async def _carry(error: Stream, data: Stream, connect: Connect) -> None:
    """Carry one connection's bytes both ways until both ends have closed."""
    port = data.headers.get("port", "")
    try:
        pipe = await connect(int(port))
    except (OSError, ValueError, ApiError) as failure:
        await error.write(f"port {port} of the pod cannot be reached: {failure}".encode())
        await error.close()
        await data.close()
        return
    try:
        await error.close()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_copy(data.read, pipe.write, pipe.end))
            tasks.create_task(_copy(pipe.read, data.write, data.close))
    except* OSError:  # either side has gone: the other sees the end of it
        await data.close()
    finally:
        pipe.close()


async def _copy(
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
) -> None:
    while data := await read():
        await write(data)
    await end()
