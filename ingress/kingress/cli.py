"""The command line: flags, and how many processes there are. `kingress.process` puts the parts of one together."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kapi.errors import ApiError
from kapi.flags import server
from kingress import ask, flags, listening
from kingress.crowd import Crowd
from kingress.listening import Listener
from kingress.mates import Mates
from kingress.process import Place, run
from kingress.workers import Workers, take_over

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

  kingress explain http://shop.example/cart --server URL
        which rule would answer, why it and not others, and which endpoints there are; sends nothing

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
    add("--server", metavar="URL", type=server, help="the API server, without credentials")
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
    add(
        "--leader-elect",
        action="store_true",
        help="several ingresses serve the same class: one at a time writes Events and status",
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
    add(
        "--proxy-protocol",
        action="store_true",
        help="connections come from load balancers in networks of --trust, and begin with a PROXY header (v1 or v2)",
    )
    add("--zone", default="", help="the topology zone this runs in: endpoints hinted for it are preferred")
    add("--access-log", metavar="FILE", default="-", help="a line for each request; - is standard output; off is none")
    add("--access-log-format", choices=("combined", "json"), default="combined", help="how its lines are written")
    add("--connections", metavar="N", type=flags.count, default=10000, help="open at most (%(default)d)")
    add("--workers", metavar="N", type=flags.count, default=1, help="processes that serve (%(default)d)")
    add(
        "--handover",
        metavar="PATH",
        type=Path,
        help="take the sockets over from the ingress that was started with the same path, and hand them on likewise",
    )
    add("--user", metavar="NAME", default="", help="who to be once the sockets are open, if started as root")
    add("--drain", metavar="SECONDS", type=float, default=30.0, help="how long responses may take to end (%(default)g)")
    add("--verbose", "-v", action="store_true", help="log what is done, not only what is wrong")
    return made


def explainer() -> argparse.ArgumentParser:
    """Give the parser of `kingress explain`."""
    made = argparse.ArgumentParser(
        prog="kingress explain",
        description="Says what would become of a request, and sends nothing: which rule applies, why it, "
        "what the Ingress asks for, which endpoints there are.",
    )
    add = made.add_argument
    add("url", metavar="URL", help="such as http://shop.example/cart?full=1")
    add("--header", "-H", metavar="NAME: VALUE", action="append", default=[], help="a header of it; may be repeated")
    add("--method", "-X", default="GET", help="(%(default)s)")
    add("--client", metavar="ADDRESS", default="127.0.0.1", help="who would ask (%(default)s)")
    add("--server", metavar="URL", type=server, help="the API server, without credentials")
    add("--kubeconfig", metavar="FILE", type=Path, help="the API server and credentials, as kubectl knows them")
    add("--ingress-class", metavar="NAME", default="", help="as of the ingress")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ingress until SIGTERM or SIGINT; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["explain"]:
        return ask.run(explainer().parse_args(words[1:]))
    options = parser().parse_args(words)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if options.workers == 1 and options.handover is None:
            return run(options, Place(listening.sockets(options)))
        return _processes(options)
    except (ApiError, OSError) as error:
        print(f"kingress: {error}", file=sys.stderr)
        return _FAILED


def _processes(options: argparse.Namespace) -> int:
    """Run several processes, on sockets of our own or on those of an ingress that this one replaces."""
    path, count, before = options.handover, options.workers, None
    found: list[Listener] = []
    if path is not None:
        found, before = take_over(path)
    found = found or listening.sockets(options)
    crowd = Crowd(count)
    with tempfile.TemporaryDirectory(prefix="kingress-") as name:
        folder = Path(name)
        if options.user:
            shutil.chown(folder, options.user)

        def work(index: int, ready: Callable[[], None]) -> int:
            crowd.index = index
            own = listening.of_worker(found, index, count)
            return run(options, Place(own, index, Mates(folder, index, count), crowd, ready))

        return Workers(count, work, found, path).run(before)
