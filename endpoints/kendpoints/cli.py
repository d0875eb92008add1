"""The command line: run the controller against any Kubernetes API."""

from __future__ import annotations

import argparse
import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kapi import component
from kapi.client import Client
from kapi.election import Elector, Terms
from kapi.events import Recorder
from kapi.resources import SERVICES
from kapi.source import Source
from kendpoints.controller import Controller, Settings
from kendpoints.flags import parser
from kendpoints.rehearsal import Rehearsal

_COMPONENT = "endpoint-slice-controller"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the controller until SIGTERM or SIGINT; returns the exit code."""
    options = parser().parse_args(argv)
    component.log_to_stderr(verbose=options.verbose)
    try:
        terms = _terms(options) if options.leader_elect else None
    except ValueError as error:
        parser().error(f"argument --leader-elect: {error}")
    return component.exit_code("kendpoints", lambda: asyncio.run(_run(options, terms)))


async def _run(options: argparse.Namespace, terms: Terms | None) -> None:
    from kapi.kubeconfig import client_from  # noqa: PLC0415  # YAML and TLS, which `--help` has no need of

    end = component.signalled()
    settings = Settings(max_endpoints_per_slice=options.max_endpoints_per_slice, batch_period=options.batch_period)
    client = client_from(options.kubeconfig, options.server)
    async with component.followed(client, _COMPONENT) as (source, recorder):
        if options.dry_run:
            await component.until(end, [_rehearse(client, source, settings)])
            return
        controller = Controller(client, source, recorder, settings)
        elector = Elector(client, terms) if terms is not None else None
        async with _served(controller, elector, options.admin):
            work = elector.lead(controller.run) if elector is not None else controller.run()
            await component.until(end, (source.run(), recorder.run(), work))


async def _rehearse(client: Client, source: Source, settings: Settings) -> None:
    """Show what would be written once, and write nothing: no Events either.

    Raises ApiError where the server cannot be read: who looks once wants to know, and not to wait for better times.
    """
    await client.list(SERVICES, limit=1)
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
        identity=f"{socket.gethostname()}_{uuid.uuid4()}",  # containers of one host may share its name and their PIDs
        name=options.leader_elect_resource_name,
        namespace=options.leader_elect_resource_namespace,
        lease=options.leader_elect_lease_duration,
        deadline=options.leader_elect_renew_deadline,
        retry=options.leader_elect_retry_period,
    )
