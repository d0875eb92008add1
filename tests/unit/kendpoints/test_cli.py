"""The command line, as processes of their own, over HTTP."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.ports import unused_port

from kapi.resources import LEASES
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kendpoints.cli import main
from kendpoints.flags import duration

TIMES = {"lease-duration": "1s", "renew-deadline": "500ms", "retry-period": "100ms"}
QUICK_LEASE = ("--leader-elect", *(f"--leader-elect-{name}={time}" for name, time in TIMES.items()))


class Processes:
    """Starts kendpoints against one server, and ends what is left."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack

    async def start(self, *arguments: str) -> Process:
        command = (sys.executable, "-m", "kendpoints", "--server", self.url, *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        self._stack.push_async_callback(_end, process)
        return process


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


@asynccontextmanager
async def served(cluster: Any) -> AsyncIterator[tuple[Any, Processes]]:
    """A cluster without a controller, and a starter of processes that reach it over HTTP."""
    async with ApiServer(MemoryStore()) as server, AsyncExitStack() as stack:
        listening = socket.create_server(("127.0.0.1", 0))
        await server.listen(listening)
        processes = Processes(f"http://127.0.0.1:{listening.getsockname()[1]}", stack)
        async with cluster(server=server, start=False) as here:
            yield here, processes


async def page(port: int, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return await answer.text()


async def test_it_writes_slices_over_http_until_it_is_told_to_stop(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        process = await processes.start("--max-endpoints-per-slice", "2")
        await here.service("web")
        for number in range(0, 10, 2):
            await here.pod(number)
        await here.becomes([f"10.244.0.{n + 1}" for n in (0, 2, 4, 6, 8)], here.addresses, "web")
        assert sorted(len(one["endpoints"]) for one in await here.slices("web")) in ([1, 2, 2], [1, 1, 1, 2])
        process.terminate()
        assert await process.wait() == 0


async def test_a_dry_run_shows_a_diff_and_writes_nothing(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        await here.service("web")
        await here.pod(2)
        process = await processes.start("--dry-run")
        output, _ = await process.communicate()
        assert process.returncode == 0
        told = output.decode()
        assert "+++ then/EndpointSlice/default/web-" in told
        assert "+  - 10.244.0.3\n" in told
        assert "+++ then/Endpoints/default/web\n" in told
        assert await here.slices("web") == []
        assert await here.endpoints("web") == ["gone"]


async def test_a_dry_run_shows_what_changes_and_nothing_where_nothing_does(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        await here.service("web")
        await here.pod(2)
        here.start()
        await here.becomes(["10.244.0.3"], here.endpoints, "web")
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await here.stop()
        output, _ = await (await processes.start("--dry-run")).communicate()
        assert output == b""
        await here.status(2, ready=False)
        output, _ = await (await processes.start("--dry-run")).communicate()
        changed = [line for line in output.decode().splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        assert changed[:4] == ["-    ready: true", "-    serving: true", "+    ready: false", "+    serving: false"]


async def test_health_and_metrics_have_the_names_of_the_kubernetes_controllers(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        port = unused_port()
        await processes.start("--admin", f"127.0.0.1:{port}", *QUICK_LEASE)
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        assert [await page(port, path) for path in ("/healthz", "/livez", "/readyz")] == ["ok"] * 3
        metrics = await page(port, "/metrics")
        for line in (
            'endpoint_slice_controller_changes{operation="create"} 1',
            "endpoint_slice_controller_endpoints_desired 1",
            "endpoint_slice_controller_num_endpoint_slices 1",
            "endpoint_slice_controller_desired_endpoint_slices 1",
            'endpoint_slice_controller_endpoints_added_per_sync_bucket{le="+Inf"} ',
            'workqueue_depth{name="endpoint_slice"} ',
            'leader_election_master_status{name="kendpoints"} 1',
        ):
            assert f"\n{line}" in metrics


async def test_of_two_only_one_writes_and_the_other_follows_when_it_is_killed(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        first = await processes.start(*QUICK_LEASE)
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await processes.start(*QUICK_LEASE)
        first.kill()
        await first.wait()
        await here.status(2, ready=False)
        await here.becomes([], here.addresses, "web")
        held = await here.client.get(LEASES, "kendpoints", "kube-system")
        assert held["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_stood_still_past_its_lease_does_no_harm_when_it_goes_on(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        first = await processes.start(*QUICK_LEASE)
        await here.service("web")
        await here.pod(2)
        await here.becomes(["10.244.0.3"], here.addresses, "web")
        await processes.start(*QUICK_LEASE)
        first.send_signal(signal.SIGSTOP)
        for number in (4, 6, 8):
            await here.pod(number)
        await here.becomes([f"10.244.0.{number}" for number in (3, 5, 7, 9)], here.addresses, "web")
        await here.status(2, ready=False)
        first.send_signal(signal.SIGCONT)
        assert await first.wait() == 1, "the lease is another's"
        await here.becomes(await here.wanted(), here.written)


async def test_who_loses_the_lease_ends_and_says_why(cluster: Any) -> None:
    async with served(cluster) as (here, processes):
        process = await processes.start(*QUICK_LEASE)
        await here.service("web")
        await here.becomes(1, _count, here)
        await here.client.patch(LEASES, "kendpoints", {"spec": {"holderIdentity": "thief"}}, "kube-system")
        _, told = await process.communicate()
        assert process.returncode == 1
        assert "it is thief's" in told.decode()


async def _count(here: Any) -> int:
    return len(await here.slices("web"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-endpoints-per-slice", "0"],
        ["--max-endpoints-per-slice", "1001"],
        ["--max-endpoints-per-slice", "many"],
        ["--endpointslice-updates-batch-period", "-1"],
        ["--server", "http://x", "--kubeconfig", "y"],
        ["--admin", "nowhere:1"],
        ["--leader-elect", "--leader-elect-lease-duration", "5s"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_explained_and_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "kendpoints: error: argument" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("500ms", 0.5), ("2s", 2.0), ("1.5m", 90.0)])
def test_a_duration_is_in_seconds_or_carries_its_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_a_kubeconfig_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--kubeconfig", "/nowhere/config"]) == 1
    assert "/nowhere/config" in capsys.readouterr().err


def test_a_dry_run_does_not_wait_for_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dry-run", "--server", f"http://127.0.0.1:{unused_port()}"]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "kendpoints --server http://127.0.0.1:8001" in capsys.readouterr().out
