"""The command line's words, read into values; each error says what was given and what it should be."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial

from kapi import component
from kapi.flags import endpoint
from kendpoints.slices import MOST_ENDPOINTS

_MOST = 1000  # the API's own limit on the endpoints of a slice
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}

_EXAMPLES = """\
examples:
  kendpoints --server http://127.0.0.1:8001
        write the slices and Endpoints of the cluster whose API is reachable there (kubectl proxy, netns-lab)
  kendpoints --server http://127.0.0.1:8001 --dry-run
        show as a diff what would be written, write nothing, and end
  kendpoints --kubeconfig ~/.kube/config --leader-elect --admin 127.0.0.1:10257
        one of several: only the holder of the lease kube-system/kendpoints writes; health and metrics over HTTP
  kendpoints --server http://127.0.0.1:8001 --endpointslice-updates-batch-period 500ms
        gather half a second of changes before a slice is written: cheaper for large rolling updates

Durations are seconds, or carry their unit: 500ms, 2s, 1m.
exit codes: 0 ended by a signal, or the dry run is done; 1 could not start, or lost the lease; 2 wrong usage
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    about = "Writes who is behind each Service: EndpointSlices and Endpoints, from Services and Pods."
    made = component.parser("kendpoints", about, _EXAMPLES)
    component.add_api(made.add_mutually_exclusive_group())
    add = made.add_argument
    add(
        "--max-endpoints-per-slice",
        metavar="N",
        type=_limit,
        default=MOST_ENDPOINTS,
        help="most endpoints in one slice, up to 1000 (%(default)s)",
    )
    add(
        "--endpointslice-updates-batch-period",
        metavar="DURATION",
        dest="batch_period",
        type=duration,
        default=0.0,
        help="how long changes of pods are gathered before they are written (0)",
    )
    add("--dry-run", action="store_true", help="show what would be written as a diff, and end")
    place = partial(endpoint, example=10257)
    add("--admin", metavar="ADDRESS:PORT", type=place, help="serve /healthz, /livez, /readyz and /metrics")
    _leading(made.add_argument_group("leader election"))
    component.add_verbose(made)
    return made


def _leading(group: argparse._ArgumentGroup) -> None:
    add: Callable[..., object] = group.add_argument
    add("--leader-elect", action="store_true", help="write only while holding a lease, of which there is one")
    times = {"lease-duration": (15.0, "others wait so long for a silent leader")}
    times["renew-deadline"] = (10.0, "a leader that could not renew for so long stops")
    times["retry-period"] = (2.0, "between attempts to take or renew the lease")
    for name, (default, told) in times.items():
        add(
            f"--leader-elect-{name}",
            metavar="DURATION",
            type=duration,
            default=default,
            help=f"{told} (%(default)g s)",
        )
    add("--leader-elect-resource-namespace", metavar="NAME", default="kube-system", help="the lease's (%(default)s)")
    add("--leader-elect-resource-name", metavar="NAME", default="kendpoints", help="the lease (%(default)s)")


def duration(text: str) -> float:
    """Read a duration, into seconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 500ms, 2s or 0.5")
    return float(found[1]) * _UNITS[found[2]]


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 1 and {_MOST}")
    return int(text)
