"""`kapi`: the API server by itself."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from kapi.errors import ApiError

_EXAMPLES = """\
examples:
  kapi serve                                     on 127.0.0.1:8001, in memory
  kapi serve --data cluster.db                   what is written survives
  kapi serve --listen 127.0.0.1:0 --kubeconfig /tmp/config
                                                 a free port, told in a kubeconfig
  kubectl -s http://127.0.0.1:8001 get namespaces

exit codes: 0 ended by a signal, 1 could not start, 2 wrong arguments
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's grammar."""
    top = argparse.ArgumentParser(
        prog="kapi",
        description="A small Kubernetes API server.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    serve = verbs.add_parser(
        "serve",
        help="run the server until it is interrupted",
        description="Run the server until it is interrupted. Anyone who can connect may do anything: listen on "
        "loopback addresses, or in network namespaces that are your own.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = serve.add_argument
    add("--listen", metavar="ADDR:PORT", action="append", help="where to listen (127.0.0.1:8001); may be repeated")
    add("--data", metavar="FILE", type=Path, help="the SQLite file to keep objects in (none: in memory)")
    add("--durability", choices=("power", "process"), default="power", help="what a write must survive (power)")
    add(
        "--service-cidr",
        metavar="CIDR",
        action="append",
        type=ip_network,
        help="range of Service addresses; twice for dual stack",
    )
    add(
        "--node-ports",
        metavar="LOW-HIGH",
        type=_range,
        default=(30000, 32767),
        help="range of node ports (30000-32767)",
    )
    add("--kubeconfig", metavar="FILE", type=Path, help="write a kubeconfig for this server")
    add("-v", "--verbose", action="store_true", help="log more")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        sockets = [_listener(text) for text in arguments.listen or ["127.0.0.1:8001"]]
        asyncio.run(_serve(arguments, sockets))
    except (ApiError, OSError, ValueError) as error:
        print(f"kapi: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(arguments: argparse.Namespace, sockets: list[socket.socket]) -> None:
    from kapi.kubeconfig import Access, write  # noqa: PLC0415  # only a server needs these; --help stays quick
    from kapi.server import ApiServer, Settings  # noqa: PLC0415  # as above
    from kapi.store.memory import MemoryStore  # noqa: PLC0415  # as above
    from kapi.store.sqlite import SqliteStore  # noqa: PLC0415  # as above

    store = SqliteStore(arguments.data, durability=arguments.durability) if arguments.data else MemoryStore()
    settings = Settings(node_port_range=arguments.node_ports)
    if arguments.service_cidr:
        settings = Settings(node_port_range=arguments.node_ports, service_cidrs=tuple(arguments.service_cidr))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiServer(store, settings) as server:
        urls = [_url(sock) for sock in sockets]
        for sock in sockets:
            await server.listen(sock)
        if arguments.kubeconfig:
            write(arguments.kubeconfig, Access(urls[0]), "kapi")
        print(f"serving on {', '.join(urls)}; try: kubectl -s {urls[0]} get namespaces", flush=True)
        await stop.wait()


def _listener(text: str) -> socket.socket:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError(f"--listen {text}: an address and a port are needed, such as 127.0.0.1:8001")
    host = host.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family)
    except (OSError, OverflowError) as error:
        raise ValueError(f"cannot listen on {text}: {error}") from error


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal() and 0 < int(low) <= int(high) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of ports such as 30000-32767")
    return int(low), int(high)


if __name__ == "__main__":
    sys.exit(main())
