"""`kingress explain`: reads the cluster once and says what would become of a request."""

from __future__ import annotations

import argparse
import asyncio
import sys

from kapi import component
from kapi.errors import ApiError
from kingress.controller import Controller
from kingress.explain import Question, explain
from kingress.settings import Settings

_PATIENCE = 15.0  # seconds to read the cluster


def run(options: argparse.Namespace) -> int:
    """Print the explanation; returns the exit code."""
    try:
        asyncio.run(_explain(options, _question(options)))
    except (ApiError, OSError, TimeoutError) as error:
        print(f"kingress: the cluster cannot be read: {error or 'no answer'}", file=sys.stderr)  # noqa: T201  # an error
        return 1
    return 0


def _question(options: argparse.Namespace) -> Question:
    """Write the request as curl would: a Host among the headers goes before that of the URL."""
    url = options.url
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    hosts = [] if any(line.lower().startswith("host:") for line in options.header) else [f"Host: {url.netloc}"]
    lines = [f"{options.method} {target} HTTP/1.1", *hosts, *options.header, "", ""]
    return Question("\r\n".join(lines).encode(), options.client, url.scheme)


async def _explain(options: argparse.Namespace, what: Question) -> None:
    places = options.server, options.kubeconfig, options.manifests
    async with component.cluster("kingress", *places, events=bool(options.events)) as (source, recorder):
        controller = Controller(source, recorder, Settings(), class_name=options.ingress_class)
        controller.start()
        reading = asyncio.create_task(source.run())
        try:
            await _synced(controller, reading)
            for line in explain(controller.routes.table, controller.resolve, what, controller.strangers()):
                print(line)  # noqa: T201  # it is what was asked
        finally:
            reading.cancel()


async def _synced(controller: Controller, reading: asyncio.Task[None]) -> None:
    """Wait until the cluster is read. Raises what reading it raises, and TimeoutError."""
    waiting = asyncio.create_task(controller.wait_synced())
    done, _ = await asyncio.wait((waiting, reading), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    if reading in done:
        await reading
    if not done:
        waiting.cancel()
        raise TimeoutError
    await waiting
