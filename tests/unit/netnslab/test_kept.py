from __future__ import annotations

import asyncio

import pytest

from netnslab import kept


async def test_what_fails_is_logged_with_its_name_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kept, "_RESTART_SECONDS", 0)
    runs: asyncio.Queue[int] = asyncio.Queue()
    started = 0

    async def run() -> None:
        nonlocal started
        started += 1
        runs.put_nowait(started)
        if started < 3:
            raise RuntimeError("out of luck")
        await asyncio.Event().wait()

    task = asyncio.create_task(kept.kept("kubelet worker-1", run))
    async with asyncio.timeout(5):
        assert [await runs.get() for _ in range(3)] == [1, 2, 3]
    task.cancel()
    assert caplog.text.count("kubelet worker-1 failed and is started again") == 2
    assert "RuntimeError: out of luck" in caplog.text
