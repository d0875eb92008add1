"""The command line's flags: kube-proxy's, each of them a field of its configuration file, and our own."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from kapi import component

Json = dict[str, Any]
Field = tuple[str, ...]

_EXAMPLES = """\
examples:
  kproxy --server http://127.0.0.1:8001
        serve this host, whose Node is called as the host is, for the cluster whose API is reachable there
  kproxy --kubeconfig /etc/kubernetes/kubelet.conf --hostname-override worker-1 --cluster-cidr 10.244.0.0/16
        as a node's service proxy; pods are known by their addresses
  kproxy --config /var/lib/kube-proxy/config.conf
        as kube-proxy is started
  kproxy --manifests ./cluster
        Services and EndpointSlices from files; changes are taken as they are written
  my-core | kproxy --events -
        the same as watch events, one JSON object a line
  kproxy --manifests ./cluster --proxy-mode memory --verbose
        touch nothing, and log what would be put in place; needs no privilege
  kproxy explain 10.244.1.2 10.96.0.10 53/udp --server http://127.0.0.1:8001 --node-name worker-1
        say what would happen to a connection, and why; see `kproxy explain --help`
  kproxy --cleanup
        remove every rule that kproxy has made, in whatever mode, and end

exit codes: 0 ended by a signal or cleaned up, 1 could not start or go on, 2 wrong usage or configuration,
            3 this host lacks the privilege or the kernel feature that the mode needs
"""

_QUESTIONS = """\
examples:
  kproxy explain 10.244.1.2 10.96.0.10 53/udp --server http://127.0.0.1:8001 --node-name worker-1
        why a pod of worker-1 does, or does not, reach the DNS service
  kproxy explain 198.51.100.10 172.30.0.11 30080 --manifests ./cluster --node-name worker-1 --json
        the same of a client outside and a NodePort, for a program
  kproxy explain 10.244.1.2 10.96.0.10 80 --server http://127.0.0.1:8001 --node-name worker-1 --live
        on worker-1 itself, as root: also what the kernel does with the next such connection

exit codes: 0 it is told, 1 the cluster could not be read, or no such connection came,
            2 wrong usage or configuration, 3 watching needs root and nftables
"""


@dataclass(frozen=True, slots=True)
class Flag:
    """One of kube-proxy's flags: its fields in the configuration file, and what it is for."""

    name: str
    fields: tuple[Field, ...]
    metavar: str  # "" for a flag that is true or false
    told: str


def _one(name: str, field: str, metavar: str, told: str) -> Flag:
    return Flag(name, (tuple(field.split(".")),), metavar, told)


FLAGS = (
    _one("--hostname-override", "hostnameOverride", "NAME", "this node's name (the host's)"),
    _one(
        "--proxy-mode", "mode", "MODE", "how traffic is led: auto, nftables, iptables, ipvs, userspace, memory (auto)"
    ),
    _one("--cluster-cidr", "clusterCIDR", "CIDR[,CIDR]", "where pods have addresses (the Node's own pod CIDRs)"),
    _one("--detect-local-mode", "detectLocalMode", "MODE", "how pods of this node are known"),
    _one("--pod-bridge-interface", "detectLocal.bridgeInterface", "NAME", "by this bridge"),
    _one("--pod-interface-name-prefix", "detectLocal.interfaceNamePrefix", "PREFIX", "by interfaces so called"),
    _one(
        "--nodeport-addresses",
        "nodePortAddresses",
        "WORD|CIDR[,...]",
        "the node's addresses that answer on NodePorts: primary, all, localhost, networks (primary)",
    ),
    _one("--bind-address", "bindAddress", "ADDRESS", "this node's address, where no Node object tells it"),
    _one("--healthz-bind-address", "healthzBindAddress", "ADDRESS[:PORT]", "/healthz, /livez; '' for none"),
    _one("--metrics-bind-address", "metricsBindAddress", "ADDRESS[:PORT]", "/metrics, /proxyMode; '' for none"),
    Flag(
        "--masquerade-all",
        (("iptables", "masqueradeAll"), ("nftables", "masqueradeAll")),
        "",
        "masquerade pods that call a clusterIP, too",
    ),
    Flag(
        "--iptables-masquerade-bit",
        (("iptables", "masqueradeBit"), ("nftables", "masqueradeBit")),
        "N",
        "the bit of the packet mark that asks for masquerading (14)",
    ),
    Flag(
        "--iptables-localhost-nodeports",
        (("iptables", "localhostNodePorts"), ("nftables", "localhostNodePorts")),
        "",
        "NodePorts on 127.0.0.1 and ::1, too",
    ),
    Flag(
        "--iptables-sync-period",
        (("iptables", "syncPeriod"), ("nftables", "syncPeriod")),
        "DURATION",
        "half of what a change may wait before /healthz fails (30s)",
    ),
    _one("--ipvs-scheduler", "ipvs.scheduler", "NAME", "how IPVS chooses an endpoint (rr)"),
    _one(
        "--ipvs-exclude-cidrs",
        "ipvs.excludeCIDRs",
        "CIDR[,CIDR]",
        "virtual servers within that a start does not remove, whoever made them",
    ),
    _one("--conntrack-max-per-core", "conntrack.maxPerCore", "N", "connections tracked for each core"),
    _one("--conntrack-min", "conntrack.min", "N", "connections tracked at least"),
    _one("--conntrack-tcp-timeout-established", "conntrack.tcpEstablishedTimeout", "DURATION", "idle TCP connections"),
    _one("--conntrack-tcp-timeout-close-wait", "conntrack.tcpCloseWaitTimeout", "DURATION", "half-closed ones"),
    _one("--conntrack-tcp-be-liberal", "conntrack.tcpBeLiberal", "", "TCP packets out of the window are valid"),
    _one("--conntrack-udp-timeout", "conntrack.udpTimeout", "DURATION", "UDP flows without an answer"),
    _one("--conntrack-udp-timeout-stream", "conntrack.udpStreamTimeout", "DURATION", "UDP flows with answers"),
)
# Accepted for the sake of command lines that have them; they do nothing.
WITHOUT_EFFECT = (
    "--bind-address-hard-fail",
    "--config-sync-period",
    "--feature-gates",
    "--iptables-min-sync-period",
    "--ipvs-min-sync-period",
    "--ipvs-strict-arp",
    "--ipvs-sync-period",
    "--ipvs-tcp-timeout",
    "--ipvs-tcpfin-timeout",
    "--ipvs-udp-timeout",
    "--kube-api-burst",
    "--kube-api-content-type",
    "--kube-api-qps",
    "--log-flush-frequency",
    "--logging-format",
    "--oom-score-adj",
    "--profiling",
    "--show-hidden-metrics-for-version",
    "--vmodule",
)


def parser() -> argparse.ArgumentParser:
    """Give the command line's parser."""
    about = "The service proxy of a node: Services and EndpointSlices in, kernel rules out."
    made = component.parser("kproxy", about, _EXAMPLES, abbreviations=False)
    sources(made.add_argument_group("where the cluster is known from, one of"))
    own(made.add_argument_group("what kube-proxy does not have"))
    same = made.add_argument_group("what kube-proxy has; each is laid over the configuration file")
    same.add_argument("--config", metavar="FILE", type=Path, help="a KubeProxyConfiguration in YAML or JSON")
    known(same)
    same.add_argument("--cleanup", action="store_true", help="remove the rules of every mode, and end")
    component.add_verbose(made)
    made.add_argument("--v", metavar="LEVEL", type=int, default=0, help="the same, as kube-proxy has it: from 1 on")
    return made


def explaining() -> argparse.ArgumentParser:
    """Give the parser of `kproxy explain`."""
    about = """Say what the rules of a node do with a new connection, and why. Nothing is sent or changed: the rules
    are worked out from the cluster as the proxy does, in mode nftables. With --live, say too what this host's kernel
    does with the next such connection."""
    made = component.parser("kproxy explain", " ".join(about.split()), _QUESTIONS, abbreviations=False)
    made.add_argument("source", metavar="SOURCE", help="the address it comes from: a pod's, a node's, any other")
    made.add_argument("destination", metavar="DESTINATION", help="the address it is sent to")
    made.add_argument("port", metavar="PORT[/PROTOCOL]", help="the port it is sent to, tcp where nothing is said")
    told = "where it comes in, where pods are known by their interface"
    made.add_argument("--interface", metavar="NAME", default="", help=told)
    made.add_argument("--json", action="store_true", help="every possibility and every rule, as JSON")
    told = "wait for such a connection, 60 s unless told, and say what this host's kernel does with it; needs root"
    made.add_argument("--live", metavar="SECONDS", nargs="?", const=60.0, type=_seconds, help=told)
    sources(made.add_argument_group("where the cluster is known from, one of"))
    own(made.add_argument_group("what kube-proxy does not have"))
    same = made.add_argument_group("the node's configuration, as it is given to the proxy")
    same.add_argument("--config", metavar="FILE", type=Path, help="a KubeProxyConfiguration in YAML or JSON")
    known(same)
    made.set_defaults(cleanup=False, verbose=False, v=0)
    return made


def _seconds(words: str) -> float:
    """Read how long to wait. Raises ArgumentTypeError."""
    try:
        seconds = float(words)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(f"{words!r} is not accepted: it takes seconds, more than 0")
    return seconds


def sources(to: argparse._ArgumentGroup) -> None:
    """Add the flags that say where the cluster is known from."""
    component.add_api(to, "--master")
    component.add_sources(to)


def own(to: argparse._ArgumentGroup) -> None:
    """Add the flags that kube-proxy does not have."""
    told = "drop new connections to addresses within that no Service has"
    to.add_argument("--service-cidr", metavar="CIDR[,CIDR]", default="", help=told)
    told = "what clients meet where nobody serves them (reject; drop where another node serves)"
    to.add_argument("--without-endpoints", choices=["reject", "drop"], help=told)
    told = "whose packets and bytes the metrics tell: endpoints are a series each (endpoints)"
    to.add_argument("--count-traffic", choices=["endpoints", "services", "none"], default="endpoints", help=told)


def known(to: argparse._ArgumentGroup) -> None:
    """Add kube-proxy's flags."""
    for flag in FLAGS:
        names = [flag.name, "--node-name"] if flag.name == "--hostname-override" else [flag.name]
        if flag.metavar:
            to.add_argument(*names, dest=flag.name, metavar=flag.metavar, help=flag.told)
        else:
            to.add_argument(*names, dest=flag.name, nargs="?", const="true", metavar="true|false", help=flag.told)
    for name in WITHOUT_EFFECT:
        to.add_argument(name, nargs="?", help=argparse.SUPPRESS)


def given(options: argparse.Namespace) -> Iterator[tuple[Flag, str]]:
    """Give the flags of kube-proxy that were used, with their values."""
    for flag in FLAGS:
        value = getattr(options, flag.name)
        if value is not None:
            yield flag, value


def laid_over(file: Json, used: Iterable[tuple[Flag, str]]) -> Json:
    """Write flags over a configuration file's fields."""
    made = dict(file)
    for flag, value in used:
        for *parts, last in flag.fields:
            inner = made
            for part in parts:
                inner[part] = dict(inner.get(part) or {})
                inner = inner[part]
            inner[last] = value
    return made
