"""The command line: flags, and how many processes there are. `kingress.process` puts the parts of one together."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from kapi import component
from kapi.flags import endpoint, network
from kingress import ask, flags, listening
from kingress.certificates import BadCertificate, Certificate, self_signed
from kingress.crowd import Crowd
from kingress.ejections import Ejections
from kingress.listening import Listener
from kingress.mates import Mates
from kingress.process import Place, run
from kingress.workers import Workers, take_over

log = logging.getLogger(__name__)

_EXAMPLES = """\
examples:
  kingress --server http://127.0.0.1:8001 --listen 127.0.0.1:8080 --admin 127.0.0.1:10254
        the Ingresses of a cluster whose API is reachable there, on this machine only;
        then: curl -H 'Host: shop.example' http://127.0.0.1:8080/   and   curl http://127.0.0.1:10254/routes
  kingress --kubeconfig ~/.kube/config --publish-service kube-system/ingress
        as a cluster's ingress, behind a Service whose address goes into the status of the Ingresses
  kingress --server URL --trust 10.0.0.0/8 --access-log off
        behind a load balancer in that network, whose X-Forwarded-For is believed
  kingress --manifests shop/ --listen 127.0.0.1:8080
        no API: the Ingresses, Services, EndpointSlices and Secrets in the files of that folder, also when they change

  kingress explain http://shop.example/cart --server URL
        which rule would answer, why it and not others, and which endpoints there are; sends nothing

exit codes: 0 ended by a signal, after open responses were completed; 1 could not start or go on; 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    about = "The HTTP entrance of a Kubernetes cluster: one address, many Services, by host and path."
    made = component.parser("kingress", about, _EXAMPLES)
    component.add_api(made)
    component.add_sources(made)
    _add_places(made.add_argument_group("where it listens").add_argument)
    _add_cluster(made.add_argument_group("what it does in the cluster").add_argument)
    _add_requests(made.add_argument_group("requests").add_argument)
    _add_running(made.add_argument_group("how it runs").add_argument)
    component.add_verbose(made)
    return made


def _add_places(add: Callable[..., object]) -> None:
    add(
        "--listen",
        metavar="ADDRESS:PORT",
        type=endpoint,
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
        type=endpoint,
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
    add("--admin", metavar="ADDRESS:PORT", type=endpoint, help="serve /healthz, /readyz, /metrics, /routes")


def _add_cluster(add: Callable[..., object]) -> None:
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
    add(
        "--default-certificate",
        metavar="NAMESPACE/NAME",
        type=flags.key,
        help="the Secret with the certificate for hosts that have none",
    )
    add(
        "--zone",
        metavar="NAME",
        default="",
        help="the topology zone this runs in: endpoints hinted for it are preferred",
    )


def _add_requests(add: Callable[..., object]) -> None:
    add(
        "--trust",
        metavar="CIDR",
        type=network,
        action="append",
        default=[],
        help="a network of proxies whose X-Forwarded-* headers are believed; may be repeated (none)",
    )
    add(
        "--proxy-protocol",
        action="store_true",
        help="connections come from load balancers in networks of --trust, and begin with a PROXY header (v1 or v2)",
    )
    add(
        "--body-rate",
        metavar="BYTES",
        type=flags.number,
        default=100,
        help="a second, that a request's body must come at once it has taken a minute; 0 for any (%(default)d)",
    )
    add("--access-log", metavar="FILE", default="-", help="a line for each request; - is standard output; off is none")
    add("--access-log-format", choices=("combined", "json"), default="combined", help="how its lines are written")


def _add_running(add: Callable[..., object]) -> None:
    add("--connections", metavar="N", type=flags.count, default=10000, help="of clients, open at most (%(default)d)")
    add(
        "--client-connections",
        metavar="N",
        type=flags.count,
        default=0,
        help="of one client's address, open at most (as many as of all)",
    )
    add("--workers", metavar="N", type=flags.count, default=1, help="processes that serve (%(default)d)")
    add(
        "--handover",
        metavar="PATH",
        type=Path,
        help="take the sockets over from the ingress that was started with the same path, and hand them on likewise",
    )
    add("--user", metavar="NAME", default="", help="who to be once the sockets are open, if started as root")
    add("--drain", metavar="SECONDS", type=float, default=30.0, help="how long responses may take to end (%(default)g)")


def explainer() -> argparse.ArgumentParser:
    """Give the parser of `kingress explain`."""
    made = argparse.ArgumentParser(
        prog="kingress explain",
        description="Says what would become of a request, and sends nothing: which rule applies, why it, "
        "what the Ingress asks for, which endpoints there are.",
    )
    add = made.add_argument
    add("url", metavar="URL", type=flags.url, help="such as http://shop.example/cart?full=1")
    add("--header", "-H", metavar="NAME: VALUE", action="append", default=[], help="a header of it; may be repeated")
    add("--method", "-X", metavar="METHOD", default="GET", help="its method (%(default)s)")
    add("--client", metavar="ADDRESS", default="127.0.0.1", help="who would ask (%(default)s)")
    component.add_api(made)
    component.add_sources(made)
    add("--ingress-class", metavar="NAME", default="", help="as of the ingress")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ingress until SIGTERM or SIGINT; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["explain"]:
        return ask.run(_parsed(explainer(), words[1:]))
    options = _parsed(parser(), words)
    component.log_to_stderr(verbose=options.verbose)
    return component.exit_code("kingress", lambda: _serve(options))


def _parsed(by: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Give the options; ends with code 2 where one excludes another."""
    options = by.parse_args(words)
    try:
        place = component.source_of(options)
    except ValueError as error:
        by.error(str(error))
    asked = vars(options)
    if place != "api":
        for name in ("publish_service", "publish_address", "leader_elect"):
            if asked.get(name):
                by.error(f"--{name.replace('_', '-')} writes to an API, and there is none with --{place}")
    if place == "events" and (asked.get("workers", 1) > 1 or asked.get("handover")):
        by.error("--events is read by one process: it goes with neither --workers nor --handover")
    return options


def _serve(options: argparse.Namespace) -> int:
    if options.workers == 1 and options.handover is None:
        found = listening.sockets(options)
        return run(options, Place(found, stand_in=_stand_in(found)))
    return _processes(options)


def _processes(options: argparse.Namespace) -> int:
    """Run several processes, on sockets of our own or on those of an ingress that this one replaces."""
    path, count, before = options.handover, options.workers, None
    found: list[Listener] = []
    if path is not None:
        found, before = take_over(path)
    found = found or listening.sockets(options)
    crowd, ejections, stand_in = Crowd(count), Ejections(), _stand_in(found)
    with tempfile.TemporaryDirectory(prefix="kingress-") as name:
        folder = Path(name)
        if options.user:
            shutil.chown(folder, options.user)

        def work(index: int, ready: Callable[[], None]) -> int:
            crowd.begin(index)
            own = listening.of_worker(found, index, count)
            return run(options, Place(own, index, Mates(folder, index, count), crowd, ejections, stand_in, ready))

        return Workers(count, work, found, path).run(before)


def _stand_in(sockets: list[Listener]) -> Certificate | None:
    """Make the certificate of hosts that have none of their own: one for all processes, before there are several."""
    if not any(each.secure for each in sockets):
        return None
    try:
        return self_signed()
    except (BadCertificate, OSError) as error:
        log.warning(
            "hosts whose certificate is missing are refused in the handshake, not told what is wrong: %s", error
        )
        return None
