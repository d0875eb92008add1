"""The command line: flags, and the assembly of the parts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from kapi.client import Client
from kapi.errors import ApiError
from kapi.events import Recorder
from kapi.kubeconfig import client_from
from kapi.network import Network
from kapi.source import ApiSource
from kproxy.backends import Backend, load, names
from kproxy.errors import ProxyError
from kproxy.host import ThisHost
from kproxy.model import LocalTraffic
from kproxy.proxy import Proxy
from kproxy.settings import ALL, PRIMARY, Settings

_FAILED, _UNAVAILABLE = 1, 3  # argparse itself ends with 2

_EXAMPLES = """\
examples:
  kproxy --server http://127.0.0.1:8001
        serve this host, whose Node is called as the host is, for the cluster whose API is reachable there
  kproxy --kubeconfig /etc/kubernetes/kubelet.conf --node-name worker-1 --cluster-cidr 10.244.0.0/16
        as a node's service proxy; pods are known by their addresses
  kproxy --server http://127.0.0.1:8001 --proxy-mode memory --verbose
        touch nothing, and say what would be done; needs no privilege
  kproxy --cleanup
        remove every rule that kproxy has made, and end

exit codes: 0 ended by a signal or cleaned up, 1 could not start or go on, 2 wrong usage,
            3 this host lacks the privilege or the kernel feature that the mode needs
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    made = argparse.ArgumentParser(
        prog="kproxy",
        description="The service proxy of a node: Services and EndpointSlices in, kernel rules out.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--server", metavar="URL", help="the API server, without credentials")
    add("--kubeconfig", metavar="FILE", type=Path, help="the API server and credentials, as kubectl knows them")
    add("--node-name", metavar="NAME", default=socket.gethostname(), help="this node's name (%(default)s)")
    add("--proxy-mode", choices=names(), default="nftables", help="how traffic is led (%(default)s)")
    add(
        "--cluster-cidr",
        metavar="CIDR[,CIDR]",
        type=networks,
        default=(),
        help="where pods have their addresses (the Node's own pod CIDRs)",
    )
    add("--pod-interface", metavar="NAME", default="", help="know pods by this interface instead; NAME* is a prefix")
    add(
        "--nodeport-addresses",
        metavar="WORD|CIDR[,...]",
        type=node_port_addresses,
        default=(PRIMARY,),
        help=f"the node's addresses that answer on NodePorts: {PRIMARY}, {ALL}, or CIDRs ({PRIMARY})",
    )
    add(
        "--service-cidr",
        metavar="CIDR[,CIDR]",
        type=networks,
        default=(),
        help="drop new connections to addresses within that no Service has",
    )
    add("--masquerade-all", action="store_true", help="masquerade pods that call a clusterIP, too")
    add(
        "--iptables-masquerade-bit",
        metavar="N",
        type=int,
        choices=range(32),
        default=14,
        help="the bit of the packet mark that asks for masquerading (%(default)s)",
    )
    add("--cleanup", action="store_true", help="remove the rules of the mode, and end")
    add("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")
    return made


def networks(words: str) -> tuple[Network, ...]:
    """Read networks, joined by commas."""
    try:
        return tuple(ip_network(word.strip()) for word in words.split(",") if word.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; networks look like 10.244.0.0/16,fd44::/48") from error


def node_port_addresses(words: str) -> tuple[str, ...]:
    """Read `primary`, `all` or networks, joined by commas."""
    found = tuple(word.strip() for word in words.split(",") if word.strip())
    for word in found:
        if word not in (PRIMARY, ALL):
            networks(word)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proxy until SIGTERM or SIGINT; returns the exit code."""
    options = parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        backend = load(options.proxy_mode)(ThisHost())
        if why := backend.missing():
            backend.close()
            print(f"kproxy: mode {options.proxy_mode} cannot work here: {why}", file=sys.stderr)
            return _UNAVAILABLE
        with contextlib.closing(backend):
            asyncio.run(backend.clear() if options.cleanup else _run(options, backend))
    except (ProxyError, ApiError, OSError) as error:
        print(f"kproxy: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        pass
    return 0


def settings(options: argparse.Namespace) -> Settings:
    """Give what the flags ask for."""
    return Settings(
        local_traffic=LocalTraffic(
            networks=() if options.pod_interface else options.cluster_cidr, interface=options.pod_interface
        ),
        node_port_addresses=options.nodeport_addresses,
        service_cidrs=options.service_cidr,
        masquerade_all=options.masquerade_all,
        masquerade_bit=options.iptables_masquerade_bit,
    )


async def _run(options: argparse.Namespace, backend: Backend) -> None:
    """Work until a signal; the rules stay, so that connections outlive a restart."""
    client: Client = client_from(options.kubeconfig, options.server)
    source = ApiSource(client)
    recorder = Recorder("kproxy", client)
    proxy = Proxy(source, options.node_name, backend, recorder=recorder, settings=settings(options))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work) for work in (source.run(), recorder.run(), proxy.run())]
            await stop.wait()
            for task in running:
                task.cancel()
    finally:
        with contextlib.suppress(OSError):
            await client.close()
