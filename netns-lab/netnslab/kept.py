"""Keeps what runs for as long as a lab runs: what fails is logged and started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0


async def kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a component until cancelled, and start it again where it ends or fails: one fault must not end the lab."""
    while True:
        try:
            await run()
        except Exception:  # the outermost edge of a component
            log.exception("%s failed and is started again", name)
        await asyncio.sleep(_RESTART_SECONDS)
