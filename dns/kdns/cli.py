"""The command line: flags, and the assembly of the parts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.network import Address
from kapi.source import ApiSource
from kdns import flags, resolvconf
from kdns.chain import Chain, Settings, Setup, Upstream, load
from kdns.errors import DnsError
from kdns.server import Listener, Server, bind

if TYPE_CHECKING:
    from kapi.client import Client

log = logging.getLogger(__name__)

_RESOLV_CONF = Path("/etc/resolv.conf")
_FAILED, _MISUSED = 1, 2

_EXAMPLES = """\
examples:
  kdns --server http://127.0.0.1:8001 --listen 127.0.0.1:5300
        names of a cluster whose API is reachable there; everything else is asked as /etc/resolv.conf says
  kdns --kubeconfig ~/.kube/config --zone cluster.local --reverse 10.96.0.0/16 --health 0.0.0.0:8080
        as a cluster's DNS, with the reverse zone of its Services
  kdns --record db.example=10.0.0.5 --listen 127.0.0.1:5300
        a few names and no cluster at all

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
    add = made.add_argument
    add("--server", metavar="URL", help="the API server, without credentials")
    add("--kubeconfig", metavar="FILE", type=Path, help="the API server and credentials, as kubectl knows them")
    add("--zone", metavar="NAME", type=flags.zone, default="cluster.local", help="the cluster's domain (%(default)s)")
    add("--ttl", metavar="SECONDS", type=flags.ttl, default=5, help="how long clients may keep answers (%(default)s)")
    add(
        "--listen",
        metavar="ADDRESS:PORT",
        type=flags.endpoint,
        action="append",
        help="where to answer over UDP and TCP; may be repeated (0.0.0.0:53 and [::]:53)",
    )
    add(
        "--upstream",
        metavar="ADDRESS[:PORT]",
        type=flags.upstream,
        action="append",
        help="a server to ask for everything else; may be repeated (those of /etc/resolv.conf)",
    )
    add(
        "--stub",
        metavar="ZONE=ADDRESS[:PORT]",
        type=flags.stub,
        action="append",
        default=[],
        help="a server to ask for the names of one zone; may be repeated",
    )
    add("--no-forward", action="store_true", help="refuse everything else instead, stub zones excepted")
    add(
        "--record",
        metavar="NAME=ADDRESS",
        type=flags.record,
        action="append",
        default=[],
        help="a name of your own; may be repeated; alone it needs no cluster",
    )
    add(
        "--reverse",
        metavar="CIDR",
        type=flags.reverse,
        action="append",
        default=[],
        help="a network whose unknown addresses are denied, not forwarded; may be repeated",
    )
    add(
        "--pods",
        choices=("insecure", "disabled"),
        default="insecure",
        help="names like 10-0-0-1.default.pod (%(default)s)",
    )
    add(
        "--empty-names",
        choices=("exist", "like-coredns"),
        default="exist",
        help="names that only have names below them: RFC 8020 says they exist (%(default)s)",
    )
    add(
        "--cache",
        metavar="ENTRIES",
        type=int,
        default=10_000,
        help="forwarded answers to remember (%(default)s); 0 for none",
    )
    add("--health", metavar="ADDRESS:PORT", type=flags.endpoint, help="serve /health and /ready over HTTP")
    add(
        "--lameduck",
        metavar="SECONDS",
        type=flags.seconds,
        default=0.0,
        help="how long to go on answering, while /health fails, after a signal (%(default)g)",
    )
    add("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the DNS server until SIGTERM or SIGINT; returns the exit code."""
    options = parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(options))
    except (DnsError, ApiError, OSError) as error:
        print(f"kdns: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        pass  # the signal came before its handler was in place
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Take uvloop where it is installed; everything works without it, at about half the speed."""
    try:
        import uvloop  # noqa: PLC0415  # optional, and only worth its import when serving
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(options: argparse.Namespace) -> None:
    """Put the parts together and serve until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        client = _client(options)
        source = recorder = None
        if client is not None:
            stack.push_async_callback(client.close)
            source = ApiSource(client)
            recorder = Recorder("kdns", client)
        listeners = [stack.enter_context(contextlib.closing(bind(*at))) for at in _addresses(options)]
        setup = Setup(_settings(options), time.time, time.monotonic, source, recorder or Recorder("kdns"))
        chain = load(setup)
        jobs: list[Coroutine[Any, Any, None]] = [Server(chain).run(listeners)]
        if source is not None and recorder is not None:
            jobs += [source.run(), recorder.run()]
        if options.health:
            from kdns import health  # noqa: PLC0415  # aiohttp is slow to import, and not every use needs it

            await stack.enter_async_context(health.serving(chain, stop, str(options.health[0]), options.health[1]))
        _announce(listeners, chain)
        await _until(stop, options.lameduck, jobs)


async def _until(stop: asyncio.Event, lameduck: float, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run jobs until a signal comes, and for `lameduck` seconds more."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(job) for job in jobs]
        await stop.wait()
        await asyncio.sleep(lameduck)
        for task in running:
            task.cancel()


def _announce(listeners: Iterable[Listener], chain: Chain) -> None:
    where = ", ".join("{} port {}".format(*listener.udp.getsockname()[:2]) for listener in listeners)
    print(f"kdns answers on {where} (UDP and TCP): {', '.join(plugin.name for plugin in chain.plugins)}", flush=True)


def _client(options: argparse.Namespace) -> Client | None:
    """Reach the cluster that the flags name; none is meant where only records are given."""
    if options.record and not (options.server or options.kubeconfig):
        return None
    from kapi.kubeconfig import client_from  # noqa: PLC0415  # not needed without a cluster

    return client_from(options.kubeconfig, options.server)


def _addresses(options: argparse.Namespace) -> list[tuple[Address, int]]:
    if options.listen:
        return list(options.listen)
    everywhere = [(ip_address("0.0.0.0"), 53)]
    return [*everywhere, (ip_address("::"), 53)] if socket.has_ipv6 else everywhere


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        zone=options.zone,
        ttl=options.ttl,
        pods=options.pods,
        empty_names=options.empty_names == "exist",
        reverse=tuple(options.reverse),
        records=tuple(options.record),
        upstreams=_upstreams(options),
        stubs=tuple(options.stub),
        cache_entries=options.cache,
        addresses=_own_addresses(options),
    )


def _upstreams(options: argparse.Namespace) -> tuple[Upstream, ...]:
    if options.no_forward:
        return ()
    if options.upstream:
        return tuple(options.upstream)
    try:
        return resolvconf.upstreams(_RESOLV_CONF.read_text(), _addresses(options))
    except OSError as error:
        log.warning("nothing is forwarded: %s: %s", _RESOLV_CONF, error.strerror)
        return ()


def _own_addresses(options: argparse.Namespace) -> tuple[Address, ...]:
    """Give the addresses that clients may know this server by: what it listens on, or what its host name stands for."""
    chosen = {address for address, _ in options.listen or () if not address.is_unspecified}
    if not chosen:
        with contextlib.suppress(OSError):
            found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_DGRAM)
            chosen = {ip_address(str(entry[4][0]).partition("%")[0]) for entry in found}
    return tuple(sorted((a for a in chosen if not a.is_loopback), key=lambda a: (a.version, a)))
