"""The command line's grammar and help. Light to import."""

from __future__ import annotations

import argparse
from typing import Any

from netnslab.completing import FUNCTIONS, KINDS
from netnslab.config import DEFAULT_BACKEND, DEFAULT_NODES
from netnslab.state import default_name

_EXIT_CODES = """\
exit codes:
  0  done
  1  failed; the message says what to do
  2  wrong usage, or a topology or manifest that cannot be used
  3  no lab of that name runs
  4  this machine lacks something the lab needs (see `netns-lab doctor`)
  5  a lab of that name runs already
  6  the lab has no such pod, node or container

environment:
  NETNS_LAB  the lab meant where no --name is given
"""

_EXAMPLES = """\
a first look:
  netns-lab up
  export KUBECONFIG=$(netns-lab kubeconfig)
  kubectl create deployment web --image=nginx --port=80
  kubectl expose deployment web --type=LoadBalancer
  kubectl get service web             # its EXTERNAL-IP is for the world outside
  netns-lab exec client -- curl -s http://203.0.113.2/
  netns-lab down

"""

_UP = """\
examples:
  netns-lab up                               a control plane and two workers
  netns-lab up --nodes 5 -f shop.yaml        five nodes, and a manifest applied
  netns-lab up --name two --api-port 6443    another lab, its API on this port

The command returns when DNS answers in a pod and the ingress listens.
Everything of the lab lives in namespaces of one process: `netns-lab down`
leaves nothing behind, and neither does the end of that process by any other
cause, except for the folder with its log; the next command removes that, keeps
the end of the log beside it, and says so.
"""

_DOWN = """\
examples:
  netns-lab down                          all that is in it is gone, for good
  netns-lab down --name two
  netns-lab down --all
"""

_EXEC = """\
examples:
  netns-lab exec web -- curl -s http://web/            in the pod web, or in one
                                                       of the Deployment web
  netns-lab exec kube-system/kube-dns -- ip addr       the same in a namespace
  netns-lab exec node/worker-1 -- nft list ruleset     on a node
  netns-lab exec client -- curl -s http://203.0.113.1/ outside of the cluster
  netns-lab exec node/worker-2                         a shell

The command is one of this machine's, run in the pod's or node's network
namespace, with the pod's resolv.conf, hosts file, host name and variables. Its
exit code is passed on; 127 means that there is no such command.
"""

_STATUS = """\
examples:
  netns-lab status                        the picture: * is a pod that is ready
  netns-lab status --json                 the same facts for programs

Without a lab of that name the exit code is 3.
"""

_KUBECONFIG = """\
examples:
  export KUBECONFIG=$(netns-lab kubeconfig)
  kubectl --kubeconfig $(netns-lab kubeconfig --name two) get pods -A
"""

_LOGS = """\
examples:
  netns-lab logs                          the lab's own: what its components say
  netns-lab logs web -f                   a pod's, and what it says from now on
  netns-lab logs kube-system/kube-dns -c kube-dns
"""

_LIST = """\
examples:
  netns-lab list                          a name a line
  netns-lab list --json
"""

_CHECK = """\
examples:
  netns-lab check examples/shop.checks.yaml
  netns-lab check --json shop.checks.yaml

A file of checks is YAML: a list of entries such as

  - check: a pod reaches a Service by its name
    from: tools                # POD, NAMESPACE/POD, node/NODE, client, or host
    run: curl -sS http://web/  # shell; on the host, kubectl is set up
    expect: 'pod: web-'        # a regular expression to be found in the output
    within: 10                 # seconds to keep trying (5)

The exit code is 1 when a check failed.
"""

_DOCTOR = """\
examples:
  netns-lab doctor
  netns-lab doctor --json

Says of each kernel feature whether it is here, what does not work without it,
and what still does. The exit code is 4 when a lab cannot run at all.
"""

_COMPLETION = """\
examples:
  netns-lab completion bash > /etc/bash_completion.d/netns-lab
  netns-lab completion zsh > ~/.zfunc/_netns-lab
"""


class _Version(argparse.Action):
    """Tells the version as every other command does; what that takes is imported when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from kapi.version import tell  # noqa: PLC0415

        tell(parser)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; `verb` is the chosen command."""
    top = argparse.ArgumentParser(
        prog="netns-lab",
        description="A Kubernetes cluster's network on this machine, made of network namespaces.",
        epilog=_EXAMPLES + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version, and end")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    _up(verbs)
    _down(verbs)
    _exec(verbs)
    _asking(verbs)
    check = _named(_add(verbs, "check", "try what a file of checks asks for", _CHECK))
    check.add_argument("file", metavar="FILE", help="the checks, as YAML")
    check.add_argument("--json", action="store_true", help="for programs")
    _add(verbs, "doctor", "say what this machine has and lacks", _DOCTOR).add_argument(
        "--json", action="store_true", help="for programs"
    )
    shells = _add(verbs, "completion", "print a completion script for a shell", _COMPLETION)
    shells.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    words = _named(verbs.add_parser("words"))  # for completion scripts; without a help of its own it is not listed
    words.add_argument("kind", choices=KINDS)
    return top


class _Backends:
    """The names of the backends, as text. They are slow to find, and looked for only when a help shows them."""

    def __str__(self) -> str:
        from kproxy.backends import names  # noqa: PLC0415  # see the class's docstring

        return ", ".join(names())


def _up(verbs: Any) -> None:
    up = _named(_add(verbs, "up", "start a lab", _UP))
    up.add_argument(
        "--nodes", type=int, default=DEFAULT_NODES, metavar="N", help="control plane and workers (%(default)s)"
    )
    backend = up.add_argument(
        "--backend", default=DEFAULT_BACKEND, help="how Services are proxied: %(backends)s (%(default)s)"
    )
    backend.backends = _Backends()  # type: ignore[attr-defined]  # argparse expands an action's attributes in its help
    _completed(backend, "backends")
    up.add_argument("-f", "--file", action="append", default=[], metavar="FILE", help="a manifest to apply; - is stdin")
    up.add_argument("--api-port", type=int, default=0, metavar="PORT", help="for the API on 127.0.0.1 (a free one)")
    up.add_argument(
        "--ingress-port", type=int, default=0, metavar="PORT", help="for the ingress on 127.0.0.1 (a free one)"
    )
    up.add_argument("--json", action="store_true", help="print the lab's status as JSON when it is up")


def _down(verbs: Any) -> None:
    down = _named(_add(verbs, "down", "end a lab and all that is in it", _DOWN))
    down.add_argument("--all", action="store_true", help="end all of your labs")
    down.add_argument("--json", action="store_true", help="print the names of the labs that were ended")


def _exec(verbs: Any) -> None:
    execute = _named(_add(verbs, "exec", "run a command in a pod, on a node, or outside", _EXEC))
    target = execute.add_argument("target", help="POD, NAMESPACE/POD, deploy/NAME, node/NODE, client or router")
    _completed(target, "targets")
    execute.add_argument("command", nargs="*", help="after --; a shell where there is none")


def _asking(verbs: Any) -> None:
    status = _named(_add(verbs, "status", "show a lab: its picture, its addresses, its pods", _STATUS))
    status.add_argument("--json", action="store_true", help="for programs")
    _named(_add(verbs, "kubeconfig", "print the path of a lab's kubeconfig", _KUBECONFIG))
    logs = _named(_add(verbs, "logs", "print the output of a pod, or the log of the lab itself", _LOGS))
    _completed(logs.add_argument("pod", nargs="?", help="POD or NAMESPACE/POD; none: the lab's own log"), "targets")
    logs.add_argument("-c", "--container", default="", help="which container (the first)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing what is added")
    _add(verbs, "list", "list the labs that run", _LIST).add_argument(
        "--json", action="store_true", help="for programs"
    )


def _add(verbs: Any, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def _named(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    _completed(verb.add_argument("--name", default=default_name(), help="which lab (%(default)s)"), "labs")
    return verb


def _completed(argument: argparse.Action, kind: str) -> None:
    """Have shells complete an argument by the words of a kind (see `completing`)."""
    argument.complete = FUNCTIONS[kind]  # type: ignore[attr-defined]  # where shtab looks for it
