"""The command line: flags, and the assembly of the parts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.flags import server
from kapi.source import ApiSource
from kdns import flags, metrics, workers
from kdns.app import App
from kdns.chain import Setup
from kdns.configured import configured
from kdns.errors import DnsError
from kdns.settings import Configuration

_FAILED = 1

_EXAMPLES = """\
examples:
  kdns --server http://127.0.0.1:8001 --listen 127.0.0.1:5300
        names of a cluster whose API is reachable there; everything else is asked as /etc/resolv.conf says
  kdns --kubeconfig ~/.kube/config --zone cluster.local --reverse 10.96.0.0/16 --health 0.0.0.0:8080
        as a cluster's DNS, with the reverse zone of its Services
  kdns --record db.example=10.0.0.5 --listen 127.0.0.1:5300
        a few names and no cluster at all

  kdns --corefile /etc/coredns/Corefile
        as the file says, which is that of CoreDNS
  kdns explain web --from shop/frontend --server http://127.0.0.1:8001
        what a pod's resolver tries for a name, what each try answers, and why

exit codes: 0 ended by a signal, 1 could not start or go on, 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    made = argparse.ArgumentParser(
        prog="kdns",
        description="A DNS server for Kubernetes: names of Services and pods from live state, the rest forwarded.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(made)
    return made


def explain_parser() -> argparse.ArgumentParser:
    """Give the parser of `kdns explain`."""
    made = argparse.ArgumentParser(
        prog="kdns explain",
        description="What a pod's resolver tries for a name, what each try answers, and why.",
    )
    made.add_argument("name", metavar="NAME", help="the name; a final dot makes it whole")
    made.add_argument("type", metavar="TYPE", nargs="?", default="A", type=str.upper, help="(%(default)s)")
    made.add_argument("--from", dest="pod", metavar="[NAMESPACE/]POD", default="", help="who asks (namespace default)")
    add_flags(made)
    return made


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is served."""
    _add_places(parser.add_argument_group("where the cluster is known from, and where queries come in").add_argument)
    _add_names(parser.add_argument_group("the names that are served").add_argument)
    _add_forwarding(parser.add_argument_group("everything else").add_argument)
    _add_running(parser.add_argument_group("how it runs").add_argument)


def _add_places(add: Callable[..., object]) -> None:
    add("--corefile", metavar="FILE", type=Path, help="read this Corefile; only --workers goes together with it")
    add("--server", metavar="URL", type=server, help="the API server, without credentials")
    add("--kubeconfig", metavar="FILE", type=Path, help="the API server and credentials, as kubectl knows them")
    several = {"action": "append", "metavar": "ADDRESS:PORT", "type": flags.endpoint}
    add("--listen", **several, help="where to answer over UDP and TCP; may be repeated (0.0.0.0:53 and [::]:53)")


def _add_names(add: Callable[..., object]) -> None:
    add("--zone", metavar="NAME", type=flags.zone, default="cluster.local", help="the cluster's domain (%(default)s)")
    add("--ttl", metavar="SECONDS", type=flags.ttl, default=5, help="how long clients may keep answers (%(default)s)")
    several = {"action": "append", "default": []}
    own = "a name of your own; may be repeated; alone it needs no cluster"
    add("--record", **several, metavar="NAME=ADDRESS", type=flags.record, help=own)
    reverse = "a network whose unknown addresses are denied, not forwarded; may be repeated"
    add("--reverse", **several, metavar="CIDR", type=flags.reverse, help=reverse)
    pods = ("insecure", "verified", "disabled")
    add("--pods", choices=pods, default="insecure", help="names like 10-0-0-1.default.pod (%(default)s)")
    empty = "names that only have names below them: RFC 8020 says they exist (%(default)s)"
    add("--empty-names", choices=("exist", "like-coredns"), default="exist", help=empty)
    add("--transfer-to", **several, metavar="ADDRESS", help="who may have whole zones (AXFR)")
    add("--plugin", **several, metavar="MODULE", help="a plug-in of your own; may be repeated")


def _add_forwarding(add: Callable[..., object]) -> None:
    upstream = "a server to ask for everything else; may be repeated (those of /etc/resolv.conf)"
    add("--upstream", action="append", metavar="ADDRESS[:PORT]", type=flags.upstream, help=upstream)
    stub = "a server to ask for the names of one zone; may be repeated"
    add("--stub", action="append", default=[], metavar="ZONE=ADDRESS[:PORT]", type=flags.stub, help=stub)
    add("--no-forward", action="store_true", help="refuse everything else instead, stub zones excepted")
    cache = "forwarded answers to remember (%(default)s); 0 for none"
    add("--cache", metavar="ENTRIES", type=int, default=10_000, help=cache)


def _add_running(add: Callable[..., object]) -> None:
    place = {"metavar": "ADDRESS:PORT", "type": flags.endpoint}
    add("--health", **place, help="serve /health and /ready over HTTP")
    add("--metrics", **place, help="serve /metrics for Prometheus over HTTP")
    lameduck = "how long to go on answering, while /health fails, after a signal (%(default)g)"
    add("--lameduck", metavar="SECONDS", type=flags.seconds, default=0.0, help=lameduck)
    add("--log", choices=("text", "json"), help="log every query to standard output")
    workers = "processes that share the work, each with all names (1)"
    add("--workers", metavar="NUMBER", type=int, default=0, help=workers)
    limit = "replies over UDP that each client network may have a second (no limit)"
    add("--limit-responses", metavar="NUMBER", type=float, default=0.0, help=limit)
    add("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the DNS server until SIGTERM or SIGINT; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    explaining = words[:1] == ["explain"]
    options = explain_parser().parse_args(words[1:]) if explaining else parser().parse_args(words)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        configuration = configured(options)
        if explaining:
            return _in_loop(_explain(options, configuration))
        if configuration.workers != 1:
            return workers.run(configuration, lambda worker: _in_loop(_run(options, configuration, worker)))
        return _in_loop(_run(options, configuration, None))
    except (DnsError, ApiError, OSError) as error:
        print(f"kdns: {error}", file=sys.stderr)
        return _FAILED
    except BaseExceptionGroup as group:
        found = _expected(group)
        if found is None:
            raise
        print(f"kdns: {found}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return 0  # the signal came before its handler was in place


def _expected(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Give the error that says why tasks ended, where it is one that is worth a sentence, not a traceback."""
    known: BaseException | None = group.subgroup((DnsError, ApiError, OSError))
    while isinstance(known, BaseExceptionGroup):
        known = known.exceptions[0]
    return known


def _in_loop(job: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(job)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Take uvloop where it is installed; everything works without it, at about half the speed."""
    try:
        import uvloop  # noqa: PLC0415  # optional, and only worth its import when serving
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(options: argparse.Namespace, configuration: Configuration, worker: workers.Worker | None) -> int:
    """Put the parts together and serve until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        source, recorder = await _cluster(configuration, stack)
        app = App(configuration, source, recorder, worker.secret if worker else secrets.token_bytes(16))
        jobs: list[Coroutine[Any, Any, None]] = [recorder.run()]
        if source is not None:
            jobs.append(source.run())
        if worker is not None:
            jobs.append(worker.share(app))
        if worker is None or worker.first:
            await _tell(app, worker, stop, stack)
        started = _announced(app) if worker is None or worker.first else _nothing
        await _until(stop, configuration.lameduck, [_serve(app, options, started), *jobs])
    return 0


async def _serve(app: App, options: argparse.Namespace, started: Callable[[], None]) -> None:
    """Serve, and look for a changed configuration where that is asked for."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.run(started))
        if app.configuration.reload:
            tasks.create_task(app.reload(lambda: configured(options), tasks))


async def _cluster(configuration: Configuration, stack: contextlib.AsyncExitStack) -> tuple[ApiSource | None, Recorder]:
    access = configuration.access
    if access is None:
        return None, Recorder("kdns")
    from kapi import kubeconfig  # noqa: PLC0415  # not needed without a cluster

    file = Path(access.kubeconfig) if access.kubeconfig else None
    if access.context and file is not None:
        client = kubeconfig.load(file, access.context).client()
    else:
        client = kubeconfig.client_from(file, access.server or None)
    stack.push_async_callback(client.close)
    return ApiSource(client), Recorder("kdns", client)


async def _tell(app: App, worker: workers.Worker | None, stop: asyncio.Event, stack: contextlib.AsyncExitStack) -> None:
    configuration = app.configuration
    sites = [(str(address), port) for address, port in (*configuration.health, *configuration.metrics)]
    if not sites:
        return
    from kdns import web  # noqa: PLC0415  # aiohttp is slow to import, and not every use needs it

    waiting = worker.waiting if worker else lambda: app.waiting
    numbers = worker.numbers if worker else lambda: metrics.text(app.numbers())
    await stack.enter_async_context(web.telling(waiting, numbers, stop, list(dict.fromkeys(sites))))


async def _until(stop: asyncio.Event, lameduck: float, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run jobs until a signal comes, and for `lameduck` seconds more."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(job) for job in jobs]
        await stop.wait()
        await asyncio.sleep(lameduck)
        for task in running:
            task.cancel()


def _announced(app: App) -> Callable[[], None]:
    def announce() -> None:
        places = [(listen, listener.udp.getsockname()[:2]) for listen, listener in app.listeners]
        where = ", ".join("{} port {}".format(*at) for listen, at in places if listen.scheme == "dns")
        also = [f"{listen.scheme}://{at[0]} port {at[1]}" for listen, at in places if listen.scheme != "dns"]
        names = dict.fromkeys(plugin.name for chain in app.chains for plugin in chain.plugins)
        print(f"kdns answers on {', '.join([f'{where} (UDP and TCP)', *also])}: {', '.join(names)}", flush=True)

    return announce


def _nothing() -> None:
    """Say nothing: the first worker has."""


async def _explain(options: argparse.Namespace, configuration: Configuration) -> int:
    """Print what a pod's resolver tries for a name, what each try answers, and why."""
    from kdns.explain import explained  # noqa: PLC0415  # only here

    async with contextlib.AsyncExitStack() as stack:
        source, recorder = await _cluster(configuration, stack)
        setup = Setup(configuration.blocks[0].settings, time.time, time.monotonic, source, recorder)
        print(await explained(setup, options.name, options.type, options.pod), end="")
    return 0
