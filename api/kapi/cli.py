"""`kapi`: the API server by itself."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from kapi import component

if TYPE_CHECKING:
    from kapi.server import Settings
    from kapi.server.certificates import Authority
    from kapi.store import Store

# By these names the `kubernetes` Service is known in a cluster.
SERVICE_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)

_EXAMPLES = """\
examples:
  kapi serve                                     on 127.0.0.1:8001, in memory
  kapi serve --data cluster.db                   what is written survives
  kapi serve --listen 127.0.0.1:0 --kubeconfig /tmp/config
                                                 a free port, told in a kubeconfig
  kapi serve --secure-listen 127.0.0.1:6443 --kubeconfig /tmp/config
                                                 HTTPS, and a certificate for you in the kubeconfig
  kubectl -s http://127.0.0.1:8001 get namespaces

exit codes: 0 ended by a signal, 1 could not start, 2 wrong arguments
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's grammar."""
    top = component.parser("kapi", "A small Kubernetes API server.", _EXAMPLES)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    serve = verbs.add_parser(
        "serve",
        help="run the server until it is interrupted",
        description="Run the server until it is interrupted. With --listen, which is HTTP, anyone who can connect may "
        "do anything: use loopback addresses. With --secure-listen, which is HTTPS, callers need a certificate or a "
        "token.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _where(serve)
    _what(serve)
    component.add_verbose(serve)
    return top


def _where(serve: argparse.ArgumentParser) -> None:
    """Add the flags that say where the server listens, and who may call."""
    add = serve.add_argument
    add("--listen", metavar="ADDR:PORT", action="append", help="where to listen (127.0.0.1:8001); may be repeated")
    add(
        "--secure-listen",
        metavar="ADDR:PORT",
        action="append",
        help="where to listen with HTTPS; may be repeated, and turns the default --listen off",
    )
    add(
        "--certificates",
        metavar="DIR",
        type=Path,
        default=Path("kapi-certificates"),
        help="where the authority and certificates for HTTPS are kept (kapi-certificates)",
    )
    add("--anonymous", action="store_true", help="let callers over HTTPS stay unknown")
    add("--kubeconfig", metavar="FILE", type=Path, help="write a kubeconfig for this server")


def _what(serve: argparse.ArgumentParser) -> None:
    """Add the flags that say what the server keeps, and which addresses and ports it gives out."""
    add = serve.add_argument
    add("--data", metavar="FILE", type=Path, help="the SQLite file to keep objects in (none: in memory)")
    add("--etcd", metavar="URL", action="append", help="keep objects in this etcd instead; may be repeated")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = parser().parse_args(argv)
    component.log_to_stderr(verbose=arguments.verbose)
    return component.exit_code("kapi", lambda: _command(arguments), {ValueError: component.FAILED})


def _command(arguments: argparse.Namespace) -> None:
    plain = arguments.listen or ([] if arguments.secure_listen else ["127.0.0.1:8001"])
    sockets = [_listener(text) for text in plain]
    component.in_loop(_serve(arguments, sockets, [_listener(text) for text in arguments.secure_listen or ()]))


async def _serve(arguments: argparse.Namespace, plain: list[socket.socket], secure: list[socket.socket]) -> None:
    from kapi.kubeconfig import Access, write  # noqa: PLC0415  # only a server needs these; --help stays quick
    from kapi.server import ApiServer  # noqa: PLC0415  # as above
    from kapi.server.certificates import Authority  # noqa: PLC0415  # as above

    end = component.signalled()
    authority = Authority(arguments.certificates)
    async with ApiServer(_store(arguments), _settings(arguments, authority if secure else None)) as server:
        urls = [_url(sock, "https") for sock in secure] + [_url(sock, "http") for sock in plain]
        for sock in plain:
            await server.listen(sock)
        access = Access(urls[0])
        if secure:
            hosts = {ip_address(sock.getsockname()[0]) for sock in secure}
            service = server.settings.service_cidrs[0].network_address + 1
            tls = authority.tls(authority.server(SERVICE_NAMES, {*hosts, service}))
            for sock in secure:
                await server.listen(sock, tls)
            mine = authority.client("kubernetes-admin")
            root, own, key = (p.read_bytes() for p in (authority.root.certificate, mine.certificate, mine.key))
            access = Access(urls[0], ca=root, certificate=own, key=key)
        if arguments.kubeconfig:
            write(arguments.kubeconfig, access, "kapi")
        how = f"--kubeconfig {arguments.kubeconfig}" if secure and arguments.kubeconfig else f"-s {urls[0]}"
        print(f"serving on {', '.join(urls)}; try: kubectl {how} get namespaces", flush=True)
        await end


def _store(arguments: argparse.Namespace) -> Store:
    from kapi.store.etcd import EtcdStore  # noqa: PLC0415  # as above
    from kapi.store.memory import MemoryStore  # noqa: PLC0415  # as above
    from kapi.store.sqlite import SqliteStore  # noqa: PLC0415  # as above

    if arguments.etcd:
        return EtcdStore(*arguments.etcd)
    return SqliteStore(arguments.data, durability=arguments.durability) if arguments.data else MemoryStore()


def _settings(arguments: argparse.Namespace, authority: Authority | None) -> Settings:
    from kapi.server import Settings  # noqa: PLC0415  # as above

    settings = Settings(node_port_range=arguments.node_ports, anonymous=arguments.anonymous)
    if arguments.service_cidr:
        settings = replace(settings, service_cidrs=tuple(arguments.service_cidr))
    return replace(settings, signing_key=authority.secret("tokens.key")) if authority else settings


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


def _url(sock: socket.socket, scheme: str) -> str:
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    if not (low.isdecimal() and high.isdecimal() and 0 < int(low) <= int(high) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range of ports such as 30000-32767")
    return int(low), int(high)


if __name__ == "__main__":
    sys.exit(main())
