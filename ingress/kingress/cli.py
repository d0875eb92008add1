"""The command line: flags, and the assembly of the parts. Read this first."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvloop

from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.kubeconfig import client_from
from kapi.source import ApiSource
from kingress import flags, listening
from kingress.access import AccessLog
from kingress.controller import Controller, Publishing
from kingress.gateway import Gateway
from kingress.listening import Listener
from kingress.server import Server
from kingress.settings import Settings

_FAILED = 1

_EXAMPLES = """\
examples:
  kingress --server http://127.0.0.1:8001 --listen 127.0.0.1:8080 --admin 127.0.0.1:10254
        the Ingresses of a cluster whose API is reachable there, on this machine only;
        then: curl -H 'Host: shop.example' http://127.0.0.1:8080/   and   curl http://127.0.0.1:10254/routes
  kingress --kubeconfig ~/.kube/config --publish-service kube-system/ingress
        as a cluster's ingress, behind a Service whose address goes into the status of the Ingresses
  kingress --server URL --trust 10.0.0.0/8 --access-log off
        behind a load balancer in that network, whose X-Forwarded-For is believed

exit codes: 0 ended by a signal, after open responses were completed; 1 could not start or go on; 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    made = argparse.ArgumentParser(
        prog="kingress",
        description="The HTTP entrance of a Kubernetes cluster: one address, many Services, by host and path.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--server", metavar="URL", help="the API server, without credentials")
    add("--kubeconfig", metavar="FILE", type=Path, help="the API server and credentials, as kubectl knows them")
    add(
        "--listen",
        metavar="ADDRESS:PORT",
        type=flags.endpoint,
        action="append",
        default=[],
        help="where to serve; may be repeated (0.0.0.0:80 and [::]:80)",
    )
    add(
        "--listen-fd",
        metavar="N",
        type=int,
        action="append",
        default=[],
        help="an inherited listening socket to serve as well; may be repeated",
    )
    add(
        "--listen-tls",
        metavar="ADDRESS:PORT",
        type=flags.endpoint,
        action="append",
        default=[],
        help="where to serve with TLS; may be repeated (0.0.0.0:443 and [::]:443 where nothing else is said)",
    )
    add(
        "--listen-tls-fd",
        metavar="N",
        type=int,
        action="append",
        default=[],
        help="an inherited listening socket to serve with TLS; may be repeated",
    )
    add(
        "--default-certificate",
        metavar="NAMESPACE/NAME",
        type=flags.key,
        help="the Secret with the certificate for hosts that have none (such handshakes are refused)",
    )
    add("--ingress-class", metavar="NAME", default="", help="serve this class only (every class of kproxy.io/ingress)")
    add(
        "--publish-service",
        metavar="NAMESPACE/NAME",
        type=flags.key,
        help="the Service in front of the ingress: its addresses go into the status of the Ingresses",
    )
    add(
        "--publish-address",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="an address or host name for the status; may be repeated",
    )
    add("--admin", metavar="ADDRESS:PORT", type=flags.endpoint, help="serve /healthz, /readyz, /metrics, /routes")
    add(
        "--trust",
        metavar="CIDR",
        type=flags.network,
        action="append",
        default=[],
        help="a network of proxies whose X-Forwarded-* headers are believed; may be repeated (none)",
    )
    add("--zone", default="", help="the topology zone this runs in: endpoints hinted for it are preferred")
    add("--access-log", metavar="FILE", default="-", help="a line for each request; - is standard output; off is none")
    add("--drain", metavar="SECONDS", type=float, default=30.0, help="how long responses may take to end (%(default)g)")
    add("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ingress until SIGTERM or SIGINT; returns the exit code."""
    options = parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(options))
    except (ApiError, OSError) as error:
        print(f"kingress: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        pass  # the signal came before its handler was in place
    return 0


async def _run(options: argparse.Namespace) -> None:
    """Put the parts together and serve until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = Settings(trusted=tuple(options.trust), drain=options.drain)
    async with contextlib.AsyncExitStack() as stack:
        client = client_from(options.kubeconfig, options.server)
        stack.push_async_callback(client.close)
        source, recorder = ApiSource(client), Recorder("kingress", client)
        controller = Controller(
            source,
            recorder,
            settings,
            client=client,
            class_name=options.ingress_class,
            publishing=Publishing(tuple(options.publish_address), options.publish_service or ""),
            default_certificate=options.default_certificate or "",
            zone=options.zone,
        )
        stack.callback(controller.tls.secrets.close)
        write = stack.enter_context(_access_log(options.access_log))
        access = AccessLog(write, time.time) if write else None
        gateway = Gateway(settings, controller.routes.table, controller.upstreams, controller.metrics, access=access)
        sockets = listening.sockets(options)
        for sock, _ in sockets:
            stack.enter_context(contextlib.closing(sock))
        if options.admin:
            from kingress import admin  # noqa: PLC0415  # not every use needs it, and aiohttp.web is slow to import

            pages = await admin.serve(gateway, controller, *options.admin)
            stack.push_async_callback(pages.cleanup)
        controller.start()
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(job) for job in (source.run(), recorder.run(), controller.run())]
            await _serve(gateway, controller, sockets, stop)
            for task in running:
                task.cancel()


async def _serve(gateway: Gateway, controller: Controller, sockets: list[Listener], stop: asyncio.Event) -> None:
    """Serve from the moment when every route is known until a signal comes; then let what is open end."""
    stopped = asyncio.ensure_future(stop.wait())
    synced = asyncio.ensure_future(controller.wait_synced())
    await asyncio.wait({stopped, synced}, return_when=asyncio.FIRST_COMPLETED)
    synced.cancel()
    if stopped.done():
        return
    async with Server(gateway) as server:
        for sock, secure in sockets:
            await server.listen(sock, tls=controller.tls.context if secure else None)
        where = ", ".join("{} port {}".format(*sock.getsockname()[:2]) for sock, _ in sockets)
        print(f"kingress serves {len(controller.routes.ingresses)} Ingresses on {where}", flush=True)
        await stopped
        await controller.withdraw()


@contextlib.contextmanager
def _access_log(name: str) -> Iterator[Callable[[str], object] | None]:
    """Give what writes the access log, if it is wanted."""
    if name == "off":
        yield None
    elif name == "-":
        yield lambda text: print(text, end="", flush=True)
    else:
        with Path(name).open("a", buffering=1 << 16, encoding="ascii") as file:

            def write(text: str) -> None:
                file.write(text)
                file.flush()

            yield write
