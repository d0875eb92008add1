"""Examines the machine: which kernel features are here, what does not work without them, and what still does.

Every feature is tried for real, in a child process that goes into namespaces of its own.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netnslab import syscalls
from netnslab.errors import KernelError, LabError, Unsupported
from netnslab.kernel import Namespace
from netnslab.steps import Bridge, Sysctl, Veth

_NETLINK_NETFILTER = 12
_EVERYTHING = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS
_EXTRAS = ("uvloop", "httptools", "dnslib")  # of the extra `lab`; a plain installation is for the proxy alone
_UNTRIED = "not tried, because it takes namespaces"
_GREEN, _YELLOW, _RED, _PLAIN = "\033[32m", "\033[33m", "\033[31m", "\033[0m"


@dataclass(frozen=True, slots=True)
class Finding:
    """One feature: whether it is here; if not, why, what is lost, and what still works or what to do."""

    feature: str
    present: bool
    needed: bool
    detail: str
    without: str

    def as_json(self) -> dict[str, Any]:
        """The finding for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Check:
    """How to find out about one feature. `trial` raises an OSError or LabError where it is missing."""

    feature: str
    trial: Callable[[], None]
    without: str
    needed: bool = False


def examine() -> list[Finding]:
    """Try every feature."""
    return [_examined(check) for check in _CHECKS]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where a lab can run, else that of `Unsupported`."""
    return Unsupported.exit_code if any(f.needed and not f.present for f in findings) else 0


def told(findings: Sequence[Finding], *, columns: int, color: bool) -> str:
    """The findings as lines for people, of at most `columns` characters where words allow it."""
    lines = []
    for finding in findings:
        word, paint = _word(finding)
        mark = f"{paint}{word:8}{_PLAIN}" if color else f"{word:8}"
        lines.append(f"{mark} {finding.feature}" + (f": {finding.detail}" if finding.detail else ""))
        if not finding.present:
            indent = " " * 11
            lines += textwrap.wrap(finding.without, columns, initial_indent=indent, subsequent_indent=indent)
    verdict = "a lab can run here" if exit_code(findings) == 0 else "a lab cannot run here: see MISSING above"
    return "\n".join([*lines, "", verdict])


def _word(finding: Finding) -> tuple[str, str]:
    """How a finding is called, and its colour."""
    if finding.present:
        return "ok", _GREEN
    if finding.detail == _UNTRIED:
        return "unknown", _YELLOW
    return ("MISSING", _RED) if finding.needed else ("absent", _YELLOW)


def _examined(check: Check) -> Finding:
    error = _in_namespaces(check.trial) if check.trial not in _ON_HOST else _tried(check.trial)
    return Finding(check.feature, not error, check.needed, error, "" if error == _UNTRIED else check.without)


def _tried(trial: Callable[[], None]) -> str:
    """Run a trial and give its error, "" for none."""
    try:
        trial()
    except (OSError, LabError) as error:
        return str(error)
    return ""


def _in_namespaces(trial: Callable[[], None]) -> str:
    """Run a trial in a child process that is root in namespaces of its own; gives its error, "" for none."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            barred = _tried(enter)
            message = _tried(trial) if not barred else barred if trial is _namespaces else _UNTRIED
            os.write(write, message.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        error = answer.read()
    os.waitpid(child, 0)
    return error


def enter() -> None:
    """Go into new namespaces, as a lab does: without root, into a user namespace first."""
    if os.geteuid() != 0:
        user, group = os.geteuid(), os.getegid()
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        for path, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{path}", "w") as file:  # noqa: PTH123  # pathlib opens with flags these files refuse
                file.write(text)
    syscalls.unshare(_EVERYTHING)


def _namespaces() -> None:
    pass  # `enter` was the trial


def _links() -> None:
    with Namespace.create() as near, Namespace.create() as far:
        near.apply([Bridge("br0"), Veth("eth0", "far", "eth0")], {"far": far})


def _forwarding() -> None:
    with Namespace.create() as namespace:
        namespace.apply([Sysctl("net/ipv4/ip_forward", "1")])


def _ipv6() -> None:
    with Namespace.create() as namespace:
        namespace.apply([Sysctl("net/ipv6/conf/all/forwarding", "1")])


def _bind_mount() -> None:
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("/etc/hosts", "/etc/hosts", flags=syscalls.MS_BIND)


def _nftables() -> None:
    """Ask the nf_tables subsystem for its generation: NFT_MSG_GETGEN, which only answers where it exists."""
    get_generation = (20).to_bytes(4, "little") + ((10 << 8) | 16).to_bytes(2, "little") + (1).to_bytes(2, "little")
    message = get_generation + (1).to_bytes(4, "little") + bytes(4) + bytes(4)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.settimeout(1)
        sock.send(message)
        answer = sock.recv(4096)
    kind = int.from_bytes(answer[4:6], "little")
    if kind == 2 and (error := -int.from_bytes(answer[16:20], "little", signed=True)):
        raise KernelError("asking nf_tables", error)


def _file(path: str) -> Callable[[], None]:
    def trial() -> None:
        if not Path(path).exists():
            raise LabError(f"{path} does not exist")

    return trial


def _command(name: str) -> Callable[[], None]:
    def trial() -> None:
        if shutil.which(name) is None:
            raise LabError(f"no command {name} on the PATH")

    return trial


def _packages() -> None:
    lacking = [name for name in _EXTRAS if importlib.util.find_spec(name) is None]
    if lacking:
        raise LabError(f"not installed: {', '.join(lacking)}")


_CONNTRACK = _file("/proc/sys/net/netfilter")
_IPVS = _file("/proc/net/ip_vs")
_KUBECTL = _command("kubectl")
_OPENSSL = _command("openssl")
_NFT = _command("nft")
_IPTABLES = _command("iptables-restore")
_TCPDUMP = _command("tcpdump")
_ON_HOST: frozenset[Callable[[], None]] = frozenset(
    {_packages, _CONNTRACK, _IPVS, _KUBECTL, _OPENSSL, _NFT, _IPTABLES, _TCPDUMP}
)

_CHECKS = (
    Check("the Python packages of a lab", _packages, "nothing runs: pip install 'kproxy[lab]'", needed=True),
    Check(
        "PID, network, mount and UTS namespaces",
        _namespaces,
        "nothing runs: become root (in a container: one with all privileges), or allow user namespaces "
        "(sysctl kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0, and "
        "user.max_user_namespaces above 0)",
        needed=True,
    ),
    Check(
        "veth pairs and bridges",
        _links,
        "nothing runs: load the modules veth and bridge; in a container, give it CAP_NET_ADMIN",
        needed=True,
    ),
    Check("IPv4 forwarding", _forwarding, "nothing runs: /proc/sys has to be writable", needed=True),
    Check("IPv6", _ipv6, "nothing runs: start the kernel without ipv6.disable=1", needed=True),
    Check(
        "private files by bind mounts",
        _bind_mount,
        "pods have no resolv.conf of their own: start the lab outside of this container",
        needed=True,
    ),
    Check("the command openssl", _OPENSSL, "nothing runs: the API has no certificate; install openssl", needed=True),
    Check("nf_tables", _nftables, "the nftables backend cannot run: load nf_tables; other backends do not need it"),
    Check("connection tracking", _CONNTRACK, "no backend that translates addresses can run: load nf_conntrack"),
    Check("IPVS", _IPVS, "the ipvs backend cannot run; the others do"),
    Check("the command nft", _NFT, "rules cannot be read as text; the lab itself needs no nft"),
    Check("the command iptables-restore", _IPTABLES, "the iptables backend cannot run; the others do"),
    Check("the command tcpdump", _TCPDUMP, "packets cannot be looked at; everything else works: install tcpdump"),
    Check("the command kubectl", _KUBECTL, "install kubernetes-client, or use any other client of the API"),
)
