"""The command line: run the controller against any Kubernetes API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.source import ApiSource
from kendpoints.controller import Controller, Settings

if TYPE_CHECKING:
    from kapi.client import Client

_FAILED = 1
_DEFAULTS = Settings()
_MOST = 1000  # the API's own limit on the endpoints of a slice

_EXAMPLES = """\
examples:
  kendpoints --server http://127.0.0.1:8001
        write the slices and Endpoints of the cluster whose API is reachable there (kubectl proxy, netns-lab)
  kendpoints --kubeconfig ~/.kube/config --max-endpoints-per-slice 500
        the same with credentials, and fewer, larger slices
  kendpoints --server http://127.0.0.1:8001 --batch-period 0.5
        gather half a second of changes before a slice is written: cheaper for large rolling updates

exit codes: 0 ended by a signal, 1 could not start, 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    made = argparse.ArgumentParser(
        prog="kendpoints",
        description="Writes who is behind each Service: EndpointSlices and Endpoints, from Services and Pods.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument("--server", metavar="URL", help="the API server, without credentials")
    where.add_argument("--kubeconfig", metavar="FILE", type=Path, help="the API server and credentials")
    made.add_argument(
        "--max-endpoints-per-slice",
        metavar="N",
        type=_limit,
        default=_DEFAULTS.max_endpoints_per_slice,
        help="most endpoints in one slice, up to 1000 (%(default)s)",
    )
    made.add_argument(
        "--batch-period",
        metavar="SECONDS",
        type=_seconds,
        default=_DEFAULTS.batch_period,
        help="how long changes of pods are gathered before they are written (%(default)s)",
    )
    made.add_argument("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the controller until SIGTERM or SIGINT; returns the exit code."""
    options = parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings(max_endpoints_per_slice=options.max_endpoints_per_slice, batch_period=options.batch_period)
    try:
        asyncio.run(_run(options.kubeconfig, options.server, settings))
    except (ApiError, OSError) as error:
        print(f"kendpoints: {error}", file=sys.stderr)
        return _FAILED
    return 0


async def _run(kubeconfig: Path | None, server: str | None, settings: Settings) -> None:
    from kapi.kubeconfig import client_from  # noqa: PLC0415  # YAML and TLS, which `--help` has no need of

    client = client_from(kubeconfig, server)
    work = asyncio.create_task(_control(client, settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        await client.close()


async def _control(client: Client, settings: Settings) -> None:
    source, recorder = ApiSource(client), Recorder("endpoint-slice-controller", client)
    controller = Controller(client, source, recorder, settings)
    async with asyncio.TaskGroup() as tasks:
        for part in (source.run(), recorder.run(), controller.run()):
            tasks.create_task(part)


def _limit(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"{number} is not between 1 and {_MOST}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number
