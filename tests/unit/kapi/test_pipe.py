"""A pipe of watch events is a cluster."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kapi import decode
from kapi.network import Service
from kapi.pipe import Pipe, PipeError
from kapi.resources import SERVICES

WEB = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "web"}, "spec": {}}


def line(kind: str, obj: Any = WEB) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


async def told(*lines: bytes) -> tuple[set[str], bool]:
    """What a cache shows while the pipe is still open."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream:
        source = Pipe(stream)
        cache = source.cache(SERVICES, decode.service)
        running = asyncio.create_task(source.run())
        os.write(write, b"".join(lines))
        await asyncio.sleep(0.05)
        shown = set(cache), cache.synced
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        os.close(write)
    return shown


async def test_events_change_the_cache_and_sync_ends_the_first_state() -> None:
    assert await told(line("ADDED")) == ({"shop/web"}, False)
    assert await told(line("ADDED"), b"SYNC\n") == ({"shop/web"}, True)
    assert await told(b"SYNC\n", line("ADDED"), line("DELETED")) == (set(), True)
    assert await told(b'{"type": "SYNC"}\n', line("MODIFIED"), line("BOOKMARK")) == ({"shop/web"}, True)


@pytest.mark.parametrize("bad", [b"{\n", b"[]\n", b"7\n", line("EXPLODED"), line("ADDED", {"kind": "Spell"}), b"{}\n"])
async def test_a_bad_line_is_left_out_and_named(bad: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert await told(b"\n", bad, line("ADDED"), b"SYNC\n") == ({"shop/web"}, True)
    assert "line 2 of the events is left out" in caplog.text


async def test_an_end_before_sync_is_an_error_and_later_changes_nothing(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_bytes(line("ADDED"))
    with events.open("rb") as stream, pytest.raises(PipeError, match="before a SYNC line"):
        await Pipe(stream).run()
    events.write_bytes(line("ADDED") + b"SYNC\n")
    with events.open("rb") as stream:
        source = Pipe(stream)
        cache = source.cache(SERVICES, decode.service)
        running = asyncio.create_task(source.run())
        await cache.wait_synced()
        await asyncio.sleep(0.05)
        assert not running.done()
        assert isinstance(cache["shop/web"], Service)
        running.cancel()
