"""One process of the ingress: the assembly of the parts. Read this first."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import logging
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from kapi import component
from kapi.client import Client
from kapi.election import Elector, Terms
from kapi.errors import LeaseLost
from kapi.events import Recorder
from kapi.kubeconfig import client_from
from kapi.resources import SECRETS
from kapi.source import ApiSource
from kingress.access import AccessLog, JsonLog
from kingress.certificates import Certificate
from kingress.controller import Controller, Publishing
from kingress.crowd import Crowd
from kingress.ejections import Ejections
from kingress.gateway import Gateway
from kingress.identity import become
from kingress.listening import Listener
from kingress.mates import Mates
from kingress.secrets import decode
from kingress.server import Server
from kingress.settings import Settings
from kingress.state import State
from kingress.workers import LEAVE

log = logging.getLogger(__name__)

_LATE = ("aiohttp", "encodings.idna", "kingress.admin")  # imported late otherwise, when their files may not be readable


@dataclass(frozen=True, slots=True)
class Place:
    """What one process of an ingress has of its own."""

    sockets: list[Listener]
    index: int = 0
    mates: Mates = field(default_factory=Mates)
    crowd: Crowd = field(default_factory=Crowd)
    ejections: Ejections = field(default_factory=Ejections)
    stand_in: Certificate | None = None  # for hosts whose own certificate is missing
    ready: Callable[[], None] = lambda: None  # called once it serves


def run(options: argparse.Namespace, place: Place) -> int:
    """Run one process: with what only root may read, then without root's rights, until a signal comes."""
    _check_parser()
    component.allow_files()  # each request may need two connections
    with _access_log(options.access_log) as write:
        apart = options.manifests is not None or options.events
        client = None if apart else client_from(options.kubeconfig, options.server)
        if options.user:
            for name in _LATE:
                importlib.import_module(name)
            become(options.user)

        def work() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(options, place, client, write))

        return component.exit_code("kingress", work)


def _check_parser() -> None:
    """See that the parser of the admin pages is the one in C: that in Python has let too much pass. Raises OSError.

    The data path has no other than httptools', which is in C.
    """
    parser = importlib.import_module("aiohttp.http_parser")
    if parser.HttpRequestParser is parser.HttpRequestParserPy:
        raise OSError(
            "aiohttp parses HTTP in Python here, which is not strict enough: install a wheel of it that has its "
            "extensions in C, and see that AIOHTTP_NO_EXTENSIONS is not set"
        )


async def _run(
    options: argparse.Namespace, place: Place, client: Client | None, write: Callable[[str], object] | None
) -> None:
    """Put the parts together and serve until a signal comes. Of several processes, the first writes to the API."""
    end = component.signalled(LEAVE)
    settings = _settings(options)
    first = place.index == 0
    async with contextlib.AsyncExitStack() as stack:
        source = component.source_without_api(options.manifests, events=bool(options.events))
        if client is not None:
            stack.push_async_callback(client.close)
            source = ApiSource(client)
        assert source is not None
        recorder = Recorder("kingress", client if first else None)
        controller = Controller(
            source,
            recorder,
            settings,
            client=client,
            secrets=None if client else source.cache(SECRETS, decode),
            class_name=options.ingress_class,
            publishing=Publishing(tuple(options.publish_address), options.publish_service or "") if first else None,
            default_certificate=options.default_certificate or "",
            stand_in=place.stand_in,
            zone=options.zone,
            ejections=place.ejections,
        )
        stack.callback(controller.tls.secrets.close)
        kind = JsonLog if options.access_log_format == "json" else AccessLog
        access = kind(write, time.time) if write else None
        gateway = Gateway(
            settings,
            controller.routes.table,
            controller.upstreams,
            controller.metrics,
            access=access,
            crowd=place.crowd,
        )
        for each in place.sockets:
            stack.enter_context(contextlib.closing(each.sock))
        await _tell(options, place, gateway, controller, stack)
        controller.start()
        async with asyncio.TaskGroup() as tasks:
            jobs = (source.run(), recorder.run(), _report(options, controller, client))
            running = [tasks.create_task(job) for job in jobs]
            number = await _serve(gateway, controller, place, end)
            if number != LEAVE and not options.leader_elect:  # with a lease, another one takes the status over
                await controller.withdraw()
            for task in running:
                task.cancel()


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        trusted=tuple(options.trust),
        proxy_protocol=options.proxy_protocol,
        drain=options.drain,
        connections=options.connections,
        client_connections=options.client_connections,
        body_rate=options.body_rate,
    )


async def _report(options: argparse.Namespace, controller: Controller, client: Client | None) -> None:
    """Write Events and status; of several ingresses alike, the one that holds the lease does."""
    if not options.leader_elect or client is None:
        await controller.run()
        return
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    elector = Elector(client, Terms(identity, f"kingress-{options.ingress_class or 'leader'}"))
    while True:
        try:
            await elector.lead(controller.run)
        except LeaseLost as error:
            log.warning("%s", error)


async def _tell(
    options: argparse.Namespace,
    place: Place,
    gateway: Gateway,
    controller: Controller,
    stack: contextlib.AsyncExitStack,
) -> None:
    """Answer the other processes, and in the first one the admin pages."""
    state = State(gateway, controller)
    answering = await place.mates.answer(state.dump)
    if answering is not None:
        stack.callback(answering.close)
    if options.admin and place.index == 0:
        from kingress import admin  # noqa: PLC0415  # not every use needs it, and aiohttp.web is slow to import

        pages = await admin.serve(state, place.mates, *options.admin, shared=options.handover is not None)
        stack.push_async_callback(pages.cleanup)


async def _serve(gateway: Gateway, controller: Controller, place: Place, end: asyncio.Future[int]) -> int:
    """Serve from the moment when every route is known until a signal comes; then let what is open end.

    Gives the signal.
    """
    synced = asyncio.ensure_future(controller.wait_synced())
    waits: list[asyncio.Future[Any]] = [end, synced]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    synced.cancel()
    if end.done():
        return end.result()
    gc.collect()
    gc.freeze()  # the routes of now stay: they need not be looked at again and again
    async with Server(gateway) as server:
        for each in place.sockets:
            await server.listen(each.sock, tls=controller.tls.context if each.secure else None)
        place.ready()
        where = ", ".join("{} port {}".format(*each.sock.getsockname()[:2]) for each in place.sockets)
        print(f"kingress serves {len(controller.routes.ingresses)} Ingresses on {where}", flush=True)  # noqa: T201  # who started it waits for this
        return await end


@contextlib.contextmanager
def _access_log(name: str) -> Iterator[Callable[[str], object] | None]:
    """Give what writes the access log, if it is wanted."""
    if name == "off":
        yield None
    elif name == "-":
        yield lambda text: print(text, end="", flush=True)  # noqa: T201  # standard output is where it was asked for
    else:
        with Path(name).open("a", buffering=1 << 16, encoding="ascii") as file:

            def write(text: str) -> None:
                file.write(text)
                file.flush()

            yield write
