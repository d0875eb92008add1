"""Waiting for file descriptors on the event loop, and carrying bytes between them and coroutines."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

_PIECE = 1 << 16


async def readable(fd: int) -> None:
    """Wait until there is something to read, or the end of it."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, _done, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def writable(fd: int) -> None:
    """Wait until there is room to write."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(fd, _done, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


async def carry_out(fd: int, write: Callable[[bytes], Awaitable[None]], ended: asyncio.Future[int]) -> None:
    """Hand on what is read, until its end, or until there is no more after the program has `ended`.

    Others that the program has started may have the other end open for as long as they like.
    """
    while True:
        over = ended.done()
        try:
            data = os.read(fd, _PIECE)
        except BlockingIOError:
            if over:
                return
            await _either(readable(fd), ended)
            continue
        except OSError:  # EIO: nobody has the terminal open any more
            return
        if not data:
            return
        await write(data)


async def carry_in(fd: int, read: Callable[[], Awaitable[bytes]]) -> None:
    """Write what comes, until its end or until nobody reads it any more."""
    while data := await read():
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                await writable(fd)
            except OSError:
                return


def _done(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _either(waiting: Awaitable[None], ended: asyncio.Future[int]) -> None:
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
