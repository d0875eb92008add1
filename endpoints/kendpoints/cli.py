"""The command line: run the controller against any Kubernetes API."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kapi.client import Client
from kapi.election import Elector, Terms
from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.source import ApiSource
from kendpoints.controller import Controller, Settings
from kendpoints.flags import parser
from kendpoints.rehearsal import Rehearsal

_FAILED = 1
_COMPONENT = "endpoint-slice-controller"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the controller until SIGTERM or SIGINT; returns the exit code."""
    options = parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        terms = _terms(options) if options.leader_elect else None
    except ValueError as error:
        parser().error(f"argument --leader-elect: {error}")
    failures: list[BaseException] = []
    try:
        asyncio.run(_run(options, terms))
    except* (ApiError, OSError) as errors:
        failures += errors.exceptions
    for failure in failures:
        print(f"kendpoints: {failure}", file=sys.stderr)
    return _FAILED if failures else 0


async def _run(options: argparse.Namespace, terms: Terms | None) -> None:
    from kapi.kubeconfig import client_from  # noqa: PLC0415  # YAML and TLS, which `--help` has no need of

    client = client_from(options.kubeconfig, options.server)
    settings = Settings(max_endpoints_per_slice=options.max_endpoints_per_slice, batch_period=options.batch_period)
    work = _rehearse(client, settings) if options.dry_run else _control(client, settings, terms, options.admin)
    running = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        await client.close()


async def _control(client: Client, settings: Settings, terms: Terms | None, admin: tuple[str, int] | None) -> None:
    source, recorder = ApiSource(client), Recorder(_COMPONENT, client)
    controller = Controller(client, source, recorder, settings)
    elector = Elector(client, terms) if terms is not None else None
    work = elector.lead(controller.run) if elector is not None else controller.run()
    async with _served(controller, elector, admin), asyncio.TaskGroup() as tasks:
        for part in (source.run(), recorder.run(), work):
            tasks.create_task(part)


async def _rehearse(client: Client, settings: Settings) -> None:
    """Show what would be written once, and write nothing: no Events either."""
    source = ApiSource(client)
    rehearsed = Client(Rehearsal(client.transport, lambda text: print(text, end="")))
    controller = Controller(rehearsed, source, Recorder(_COMPONENT), settings)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part) for part in (source.run(), controller.run())]
        await controller.rest()
        for task in running:
            task.cancel()


@asynccontextmanager
async def _served(controller: Controller, elector: Elector | None, at: tuple[str, int] | None) -> AsyncIterator[None]:
    if at is None:
        yield
        return
    from kendpoints import admin  # noqa: PLC0415  # not every use needs it, and aiohttp.web is slow to import

    pages = await admin.serve(controller, elector, *at)
    try:
        yield
    finally:
        await pages.cleanup()


def _terms(options: argparse.Namespace) -> Terms:
    return Terms(
        identity=f"{socket.gethostname()}_{os.getpid()}",
        name=options.leader_elect_resource_name,
        namespace=options.leader_elect_resource_namespace,
        lease=options.leader_elect_lease_duration,
        deadline=options.leader_elect_renew_deadline,
        retry=options.leader_elect_retry_period,
    )
