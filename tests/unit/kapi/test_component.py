"""What command lines have in common: where the cluster is, when to end, and what is said of a failure."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from kapi import component
from kapi.client import Client
from kapi.errors import ApiError, ConnectionLost
from kapi.manifests import Manifests
from kapi.pipe import Pipe
from kapi.resources import SERVICES
from kapi.server import ApiServer
from kapi.source import ApiSource
from kapi.store.memory import MemoryStore


class Odd(Exception):
    """An error of a component's own."""


def options(*argv: str) -> argparse.Namespace:
    parser = component.parser("odd", "Does what is odd.", "examples:\n  odd\n")
    component.add_api(parser, "--master")
    component.add_sources(parser)
    component.add_verbose(parser)
    return parser.parse_args(argv)


@pytest.mark.parametrize(
    ("argv", "source"),
    [
        ([], "api"),
        (["--server", "http://x"], "api"),
        (["--master", "http://x", "--kubeconfig", "/x"], "api"),
        (["--kubeconfig", "/x"], "api"),
        (["--manifests", "/x"], "manifests"),
        (["--events", "-"], "events"),
    ],
)
def test_a_cluster_is_known_from_one_place(argv: list[str], source: str) -> None:
    assert component.source_of(options(*argv)) == source


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--server", "http://x", "--manifests", "/x"], "--server and --manifests"),
        (["--kubeconfig", "/x", "--events", "-"], "--events and --kubeconfig"),
    ],
)
def test_several_places_exclude_each_other(argv: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words} exclude each other: the cluster is known from one place$"):
        component.source_of(options(*argv))


async def test_each_place_has_its_source(tmp_path: Path) -> None:
    async with component.cluster("odd", None, None, tmp_path) as (source, _):
        assert isinstance(source, Manifests)
    async with component.cluster("odd", None, None, events=True) as (source, _):
        assert isinstance(source, Pipe)
    async with component.cluster("odd", "http://127.0.0.1:1", None) as (source, _):
        assert isinstance(source, ApiSource)


async def test_problems_of_a_component_that_follows_an_api_become_events_there() -> None:
    async with ApiServer(MemoryStore()) as server:
        client = server.client()
        async with component.followed(Client(client.transport), "odd") as (source, recorder):
            assert isinstance(source, ApiSource)
            assert recorder.component == "odd"
        assert (await client.list(SERVICES)).items is not None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
async def test_the_first_signal_ends_it_and_says_which_it_was(number: signal.Signals) -> None:
    end = component.signalled(signal.SIGUSR1)
    jobs = [forever(), forever()]
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await component.until(end, jobs)
    assert end.result() == number


async def test_jobs_that_are_done_need_no_signal() -> None:
    end = component.signalled()
    async with asyncio.timeout(5):
        await component.until(end, [asyncio.sleep(0), asyncio.sleep(0.01)], linger=60)
    assert not end.done()


async def test_after_the_signal_jobs_go_on_for_a_while() -> None:
    end = component.signalled()
    end.set_result(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await component.until(end, [forever()], linger=0.1)
    assert loop.time() - began >= 0.09


async def test_where_one_job_fails_all_end() -> None:
    end = component.signalled()
    with pytest.raises(ExceptionGroup) as ended:
        await component.until(end, [forever(), failing(Odd("so it is"))])
    assert ended.group_contains(Odd, match="so it is")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ApiError("no such thing"), 1, "odd: no such thing\n"),
        (OSError("the disk is full"), 1, "odd: the disk is full\n"),
        (Odd("so it is"), 3, "odd: so it is\n"),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [Odd("so it is")])]), 3, "odd: so it is\n"),
        (ExceptionGroup("tasks", [ConnectionLost("gone"), ConnectionLost("gone")]), 1, "odd: gone\n"),
        (KeyboardInterrupt(), 0, ""),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert component.exit_code("odd", work, {Odd: 3}) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [KeyError("x"), ExceptionGroup("tasks", [Odd("so it is"), KeyError("x")])])
def test_a_fault_of_the_program_is_not_hidden(error: Exception) -> None:
    def work() -> int:
        raise error

    with pytest.raises(type(error)):
        component.exit_code("odd", work, {Odd: 3})


@pytest.mark.parametrize("given", [None, 0, 4])
def test_without_an_error_the_work_says_the_exit_code(given: int | None) -> None:
    assert component.exit_code("odd", lambda: given) == (given or 0)


def test_help_costs_no_import_of_what_speaks_http() -> None:
    code = "import sys, kapi.component; print([n for n in ('aiohttp', 'yaml', 'pydantic') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


async def forever() -> None:
    await asyncio.Event().wait()


async def failing(error: Exception) -> None:
    raise error


def test_every_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        component.parser("kproxy explain", "", "").parse_args(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"kproxy {version('kproxy')}\n")
