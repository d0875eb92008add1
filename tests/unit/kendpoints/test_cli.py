"""The command line, as a process of its own, over HTTP."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import pytest

from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kendpoints.cli import main


async def test_it_writes_slices_over_http_until_it_is_told_to_stop(cluster: Any) -> None:
    async with ApiServer(MemoryStore()) as server:
        listening = socket.create_server(("127.0.0.1", 0))
        await server.listen(listening)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kendpoints", "--server", url, "--max-endpoints-per-slice", "2"
        )
        async with cluster(server=server, start=False) as here:
            await here.service("web")
            for number in range(0, 10, 2):
                await here.pod(number)
            await here.becomes([f"10.244.0.{n + 1}" for n in (0, 2, 4, 6, 8)], here.addresses, "web")
            assert sorted(len(one["endpoints"]) for one in await here.slices("web")) in ([1, 2, 2], [1, 1, 1, 2])
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-endpoints-per-slice", "0"],
        ["--max-endpoints-per-slice", "1001"],
        ["--batch-period", "-1"],
        ["--server", "http://x", "--kubeconfig", "y"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_explained_and_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "kendpoints: error: argument" in capsys.readouterr().err


def test_a_kubeconfig_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kubeconfig", "/nowhere/config"]) == 1
    assert "/nowhere/config" in capsys.readouterr().err


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "kendpoints --server http://127.0.0.1:8001" in capsys.readouterr().out
