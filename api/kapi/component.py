"""What the command lines of all components have in common: flags, the log, the cluster, and an orderly end.

A component's `cli` adds its own flags to `parser`, puts its parts together, and runs them with `until` inside of
`exit_code`. Light to import: nothing here speaks HTTP before it has to.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from kapi import flags
from kapi.errors import ApiError, leaves
from kapi.version import add_version

if TYPE_CHECKING:
    from kapi.client import Client
    from kapi.events import Recorder
    from kapi.source import ApiSource, Source

T = TypeVar("T")

FAILED = 1
MISUSED = 2  # as argparse has it

_NO_OTHERS: Mapping[type[Exception], int] = MappingProxyType({})


def parser(name: str, description: str, examples: str, *, abbreviations: bool = True) -> argparse.ArgumentParser:
    """Give the parser of a command line; `examples` are shown as they are, below the flags."""
    made = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=abbreviations,
    )
    add_version(made)
    return made


def add_api(to: argparse._ActionsContainer, *also: str) -> None:
    """Add the flags that say where the API is; `also` are other names of `--server`."""
    told = "the API server, without credentials"
    to.add_argument("--server", *also, metavar="URL", type=flags.server, help=told)
    told = "the API server and credentials, as kubectl knows them"
    to.add_argument("--kubeconfig", metavar="FILE", type=Path, help=told)


def add_sources(to: argparse._ActionsContainer) -> None:
    """Add the flags of the other places that a cluster can be known from."""
    to.add_argument("--manifests", metavar="FOLDER", type=Path, help="files in YAML or JSON, watched for changes")
    to.add_argument("--events", metavar="-", choices=["-"], help="watch events on standard input, then SYNC, then more")


def add_verbose(to: argparse._ActionsContainer) -> None:
    """Add the flag for more to read."""
    to.add_argument("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")


def log_to_stderr(*, verbose: bool) -> None:
    """Log to standard error: warnings, and what is done where that is asked for."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def source_of(options: argparse.Namespace) -> str:
    """Give which of the places a command line names: `api`, `manifests` or `events`. Raises ValueError for several."""
    asked = [name for name in ("server", "manifests", "events") if getattr(options, name)]
    if options.kubeconfig and not options.server:
        asked.append("kubeconfig")
    if len(asked) > 1:
        raise ValueError(f"--{' and --'.join(asked)} exclude each other: the cluster is known from one place")
    return asked[0] if asked and asked[0] in ("manifests", "events") else "api"


@contextlib.asynccontextmanager
async def followed(client: Client, name: str) -> AsyncIterator[tuple[ApiSource, Recorder]]:
    """Follow a cluster with a client, which is closed at the end; problems become Events there, from `name`."""
    from kapi.events import Recorder  # noqa: PLC0415  # `--help` has no need of it
    from kapi.source import ApiSource  # noqa: PLC0415  # as above

    try:
        yield ApiSource(client), Recorder(name, client)
    finally:
        with contextlib.suppress(OSError):
            await client.close()


def source_without_api(manifests: Path | None, *, events: bool) -> Source | None:
    """Give what the cluster is known from where that is a folder or standard input; None where it is an API."""
    if manifests is not None:
        from kapi.manifests import Manifests  # noqa: PLC0415  # `--help` has no need of it

        return Manifests(manifests)
    if events:
        from kapi.pipe import Pipe  # noqa: PLC0415  # as above

        return Pipe(sys.stdin.buffer)
    return None


@contextlib.asynccontextmanager
async def cluster(
    name: str, server: str | None, kubeconfig: Path | None, manifests: Path | None = None, *, events: bool = False
) -> AsyncIterator[tuple[Source, Recorder]]:
    """Give where the cluster is known from, and who is told of problems: without an API, the log is."""
    from kapi.events import Recorder  # noqa: PLC0415  # `--help` has no need of it

    source = source_without_api(manifests, events=events)
    if source is not None:
        yield source, Recorder(name)
    else:
        from kapi.kubeconfig import client_from  # noqa: PLC0415  # as above

        async with followed(client_from(kubeconfig, server), name) as api:
            yield api


def allow_files() -> None:
    """Let there be as many open files as the system allows, for those that carry others' connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def signalled(*more: signal.Signals) -> asyncio.Future[int]:
    """Give what is done, with its number, when the first signal to end comes: SIGTERM, SIGINT, or one of `more`."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if not end.done():
            end.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT, *more):
        loop.add_signal_handler(number, stop, number)
    return end


async def until(end: asyncio.Future[int], jobs: Iterable[Coroutine[Any, Any, None]], linger: float = 0.0) -> None:
    """Run jobs until `end` and for `linger` seconds more, or until all are done; where one fails, all end."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(job) for job in jobs]
        done = asyncio.gather(*running, return_exceptions=True)
        await asyncio.wait((end, done), return_when=asyncio.FIRST_COMPLETED)
        if linger and end.done():
            await asyncio.wait((done,), timeout=linger)
        for task in running:
            task.cancel()


def in_loop(job: Coroutine[Any, Any, T]) -> T:
    """Run a job to its end, on uvloop where that is installed; everything works without it, at about half the speed."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415  # optional, and only worth its import when serving
    except ImportError:
        return asyncio.run(job)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(job)


def exit_code(name: str, work: Callable[[], int | None], codes: Mapping[type[Exception], int] = _NO_OTHERS) -> int:
    """Do the work of a command and give its exit code: 0, what it gives, or that of the error it ends with.

    `codes` are a component's own errors, the first that fits counts; those of the API and the system are 1. Each is a
    sentence on standard error. Any other error is a fault of the program, and is raised.
    """
    known: dict[type[Exception], int] = {**codes, ApiError: FAILED, OSError: FAILED}
    kinds = tuple[type[Exception], ...](known)
    try:
        return work() or 0
    except KeyboardInterrupt:
        return 0  # the signal came before its handler was in place
    except kinds as error:
        failures: list[BaseException] = [error]
    except BaseExceptionGroup as group:
        if group.split(kinds)[1] is not None:
            raise
        failures = list(leaves(group))
    for sentence in dict.fromkeys(f"{name}: {error}" for error in failures):
        print(sentence, file=sys.stderr)  # noqa: T201  # this is what a command says
    return next(code for kind, code in known.items() if isinstance(failures[0], kind))
