"""`kingress explain`: reads the cluster once and says what would become of a request."""

from __future__ import annotations

import argparse
import asyncio
import sys
from urllib.parse import urlsplit

from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.kubeconfig import client_from
from kapi.source import ApiSource
from kingress.controller import Controller
from kingress.explain import explain, request_of
from kingress.settings import Settings
from kingress.steps import Asked
from kingress.target import BadTarget

_PATIENCE = 15.0  # seconds to read the cluster


def run(options: argparse.Namespace) -> int:
    """Print the explanation; returns the exit code."""
    url = urlsplit(options.url if "://" in options.url else f"http://{options.url}")
    headers = [(name.encode(), value.strip().encode()) for name, _, value in (h.partition(":") for h in options.header)]
    host = next((value.decode() for name, value in headers if name.lower() == b"host"), url.netloc)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    try:
        request = request_of(options.method, host, target, headers)
        asyncio.run(_explain(options, Asked(request, options.client, url.scheme.encode())))
    except BadTarget as error:
        print(f"400: the request would be refused: {error}")  # noqa: T201  # it is what was asked
    except (ApiError, OSError, TimeoutError) as error:
        print(f"kingress: the cluster cannot be read: {error or 'no answer'}", file=sys.stderr)  # noqa: T201  # an error
        return 1
    return 0


async def _explain(options: argparse.Namespace, what: Asked) -> None:
    client = client_from(options.kubeconfig, options.server)
    source = ApiSource(client)
    controller = Controller(source, Recorder("kingress"), Settings(), class_name=options.ingress_class)
    controller.start()
    reading = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(_PATIENCE):
            await controller.wait_synced()
        for line in explain(controller.routes.table, controller.resolve, what):
            print(line)  # noqa: T201  # it is what was asked
    finally:
        reading.cancel()
        await client.close()
