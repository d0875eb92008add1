"""The command line: flags, and the assembly of the parts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kapi import component
from kapi.client import Client
from kapi.errors import StatusError
from kapi.events import Recorder
from kapi.network import Address
from kapi.source import ApiSource
from kdns import flags, metrics, workers
from kdns.app import App
from kdns.calls import Calls
from kdns.chain import Setup
from kdns.configured import configured
from kdns.errors import DnsError, SettingInvalid
from kdns.likeness import BY_NAME
from kdns.pulse import Pulse
from kdns.settings import Configuration

log = logging.getLogger(__name__)

BESIDE_COREFILE = {
    *("corefile", "workers", "node_local", "answers", "plugin", "limit_responses", "verbose"),
    *("name", "type", "pod"),  # of `kdns explain`
}

_EXAMPLES = """\
examples:
  kdns --server http://127.0.0.1:8001 --listen 127.0.0.1:5300
        names of a cluster whose API is reachable there; everything else is asked as /etc/resolv.conf says
  kdns --kubeconfig ~/.kube/config --zone cluster.local --reverse 10.96.0.0/16 --health 0.0.0.0:8080
        as a cluster's DNS, with the reverse zone of its Services
  kdns --record db.example=10.0.0.5 --listen 127.0.0.1:5300
        a few names and no cluster at all
  kdns --node-local 169.254.20.10 --upstream 10.96.0.10
        on each node, in front of the cluster's DNS
  kdns --corefile /etc/coredns/Corefile
        as the file says, which is that of CoreDNS
  kdns explain web --from shop/frontend --server http://127.0.0.1:8001
        what a pod's resolver tries for a name, what each try answers, and why

exit codes: 0 ended by a signal, 1 could not start or go on, 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    about = "A DNS server for Kubernetes: names of Services and pods from live state, the rest forwarded."
    made = component.parser("kdns", about, _EXAMPLES)
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
    made.add_argument(
        "--from", dest="pod", metavar="[NAMESPACE/]POD", default="", help="who asks (any pod of namespace default)"
    )
    add_flags(made)
    return made


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is served."""
    _add_places(parser.add_argument_group("where the cluster is known from, and where queries come in"))
    _add_names(parser.add_argument_group("the names that are served").add_argument)
    _add_forwarding(parser.add_argument_group("everything else").add_argument)
    _add_running(parser.add_argument_group("how it runs"))


def _add_places(group: argparse._ArgumentGroup) -> None:
    add: Callable[..., object] = group.add_argument
    told = "read this Corefile; flags about what it says do not go together with it"
    add("--corefile", "-conf", metavar="FILE", type=Path, help=told)
    component.add_api(group)
    several = {"action": "append", "metavar": "ADDRESS:PORT", "type": flags.endpoint}
    add("--listen", **several, help="where to answer over UDP and TCP; may be repeated (0.0.0.0:53 and [::]:53)")
    told = "give this node the address, untracked, answer there on port 53, and ask upstream over TCP; may be repeated"
    add("--node-local", action="append", default=[], metavar="ADDRESS", type=flags.address, help=told)


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
    told = "where CoreDNS and the RFCs differ: as the RFCs, or as CoreDNS (%(default)s)"
    add("--answers", choices=tuple(BY_NAME), default="standard", help=told)
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


def _add_running(group: argparse._ArgumentGroup) -> None:
    add: Callable[..., object] = group.add_argument
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
    component.add_verbose(group)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the DNS server until SIGTERM or SIGINT; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    explaining = words[:1] == ["explain"]
    options = _parsed(explain_parser(), words[1:]) if explaining else _parsed(parser(), words)
    component.log_to_stderr(verbose=options.verbose)
    return component.exit_code("kdns", lambda: _command(options, explaining=explaining), {DnsError: component.FAILED})


def _parsed(command: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Read a command line; what a Corefile says, no flag can say beside it."""
    options = command.parse_args(words)
    if options.corefile:
        for name, value in vars(options).items():
            if name not in BESIDE_COREFILE and value != command.get_default(name):
                command.error(f"--{name.replace('_', '-')} and --corefile exclude each other: the file says it")
    return options


def _command(options: argparse.Namespace, *, explaining: bool) -> int:
    configuration = configured(options)
    if explaining:
        return component.in_loop(_explain(options, configuration))
    with contextlib.ExitStack() as stack:
        if configuration.node_local:
            from kdns import nodelocal  # noqa: PLC0415  # only where it is asked for

            stack.enter_context(nodelocal.held(configuration.node_local))
        if configuration.workers != 1:
            return workers.run(configuration, lambda worker: component.in_loop(_run(options, configuration, worker)))
        return component.in_loop(_run(options, configuration, None))


async def _run(options: argparse.Namespace, configuration: Configuration, worker: workers.Worker | None) -> int:
    """Put the parts together and serve until a signal comes."""
    end = component.signalled()
    async with contextlib.AsyncExitStack() as stack:
        source, recorder, calls = await _cluster(configuration, stack)
        app = App(configuration, source, recorder, worker.secret if worker else secrets.token_bytes(16), also=calls)
        jobs: list[Coroutine[Any, Any, None]] = [recorder.run()]
        if source is not None:
            jobs.append(source.run())
        if worker is not None:
            jobs.append(worker.share(app))
        if worker is None or worker.first:
            await _tell(app, worker, end.done, stack)
            jobs += [each.run() for each in app.also if isinstance(each, Pulse)]
        started = _announced(app) if worker is None or worker.first else _nothing
        await component.until(end, [_serve(app, options, started), *jobs], configuration.lameduck)
    return 0


async def _serve(app: App, options: argparse.Namespace, started: Callable[[], None]) -> None:
    """Serve, and look for a changed configuration where that is asked for."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.run(started))
        if app.configuration.reload:
            tasks.create_task(app.reload(lambda: configured(options), tasks))


async def _cluster(
    configuration: Configuration, stack: contextlib.AsyncExitStack
) -> tuple[ApiSource | None, Recorder, list[Calls | Pulse]]:
    """Give where the cluster is known from, who is told of problems, and who counts the calls of the API."""
    client = _client(configuration)
    if client is None:
        return None, Recorder("kdns"), []
    from kapi.transport import HttpTransport  # noqa: PLC0415  # not needed without a cluster

    calls = []
    if isinstance(client.transport, HttpTransport):
        calls = [Calls(urlsplit(client.transport.url).netloc)]
        client.transport.observe = calls[0].note
    return *await stack.enter_async_context(component.followed(client, "kdns")), list(calls)


def _client(configuration: Configuration) -> Client | None:
    access = configuration.access
    if access is None:
        return None
    from kapi import kubeconfig  # noqa: PLC0415  # not needed without a cluster

    file = Path(access.kubeconfig) if access.kubeconfig else None
    if access.context and file is not None:
        return kubeconfig.load(file, access.context).client()
    return kubeconfig.client_from(file, access.server or None)


async def _tell(
    app: App, worker: workers.Worker | None, ending: Callable[[], bool], stack: contextlib.AsyncExitStack
) -> None:
    configuration = app.configuration
    sites = [(str(address), port) for address, port in (*configuration.health, *configuration.metrics)]
    if not sites:
        return
    from kdns import web  # noqa: PLC0415  # aiohttp is slow to import, and not every use needs it

    waiting = worker.waiting if worker else lambda: app.waiting
    numbers = worker.numbers if worker else lambda: metrics.text(app.numbers())
    await stack.enter_async_context(web.telling(waiting, numbers, ending, list(dict.fromkeys(sites))))
    app.also += [Pulse(_reached(address), port) for address, port in configuration.health[:1]]


def _reached(address: Address) -> str:
    """Give where a page on all addresses is found from here."""
    return str(address) if not address.is_unspecified else "127.0.0.1" if address.version == 4 else "::1"


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


def by_words(words: Sequence[str]) -> Configuration:
    """Give what another server's command line asks for. Raises `SettingInvalid`, where that server would end."""
    command, said = parser(), io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            options = command.parse_known_args(words)[0]
    except SystemExit:
        why = (said.getvalue().strip().splitlines() or ["it ends at once"])[-1]
        raise SettingInvalid(f"its command line {shlex.join(words)} cannot be read: {why}") from None
    return configured(options)


async def _forwarding_as_deployed(options: argparse.Namespace, configuration: Configuration) -> Configuration:
    """Forward as the cluster's own DNS server does, unless the command line says how: this host may do otherwise."""
    told = options.corefile or options.upstream or options.stub or options.no_forward
    client = None if told else _client(configuration)
    if client is None:
        return configuration
    from kdns import deployed  # noqa: PLC0415  # only here

    found = None
    try:
        found = await deployed.forwards(client, by_words)
    except StatusError as error:  # nobody need be allowed to see pods and ConfigMaps
        log.warning("how the cluster's DNS server forwards is not told, so it is asked as this host does: %s", error)
    finally:
        await client.close()
    if found is None:
        return configuration
    blocks = [replace(block, settings=replace(block.settings, forwards=found)) for block in configuration.blocks]
    return replace(configuration, blocks=tuple(blocks))


async def _explain(options: argparse.Namespace, configuration: Configuration) -> int:
    """Print what a pod's resolver tries for a name, what each try answers, and why."""
    from kdns.explain import explained  # noqa: PLC0415  # only here

    async with contextlib.AsyncExitStack() as stack:
        configuration = await _forwarding_as_deployed(options, configuration)
        source, recorder, _ = await _cluster(configuration, stack)
        made = Setup(configuration.blocks[0].settings, time.time, time.monotonic, source, recorder)
        blocks = [(block.zones, replace(made, settings=block.settings)) for block in configuration.blocks]
        print(await explained(blocks, options.name, options.type, options.pod), end="")
    return 0
