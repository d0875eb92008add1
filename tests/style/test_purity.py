"""The functional core stays pure: no clock, no sockets, no processes, no randomness, no logging.

Every module is pure but for those listed here. A pure module imports nothing that has effects, of ours or of others',
except as a type; calls none of the few built-in functions that do; and reads no clock.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.style.trees import tree

ROOT = Path(__file__).parents[2]

# What may have effects, by package and by what for.
EFFECTFUL = {
    "api/kapi": {
        "command lines, and what they read of the host": "cli component kubeconfig credentials",
        "HTTP": "transport client",
        "sources: the API, files, a pipe": "source feed informer manifests inotify pipe",
        "listeners wake workers, workers wait": "cache queue written backoff",
        "what is written without being asked": "events election",
        "the server's edge": "server server.app server.http server.certificates server.settings server.inprocess",
        "the server's state, and who waits for its changes": """server.state server.history server.watching
            server.expiry server.writing server.deleting server.bootstrap server.addresses server.collector
            server.namespaces""",
        "requests, answered from that state": """server.dispatch server.requests server.admission server.aliases
            server.answers server.discovery server.identity server.openapi server.patching server.reading
            server.reviews server.subresources server.views""",
        "connections that stay": """server.streaming.front server.streaming.session server.streaming.remote
            server.streaming.forwarding""",
        "stores": "store.etcd store.sqlite",
        "for tests": "testing",
    },
    "kproxy/kproxy": {
        "the command line": "__main__ cli flags modes question live",
        "the host: namespaces, sockets, processes, sysctls": "host exchange sysctls conntrack counting ports localhost",
        "the loop, and its state": "proxy sync longlived",
        "pages": "pages health beside",
        "backends: commit, and what the kernel says": """backends backends.addresses backends.apart backends.memory
            backends.nftables.backend backends.nftables.kernel backends.ipvs.backend backends.ipvs.kernel
            backends.ipvs.traffic
            backends.iptables.backend backends.iptables.tool
            backends.userspace.backend backends.userspace.tcp backends.userspace.udp""",
        "for tests": "testing",
    },
    "endpoints/kendpoints": {
        "the command line": "__main__ cli flags",
        "the loop: reading, writing, and what was written": "controller world rehearsal",
        "pages": "admin",
    },
    "dns/kdns": {
        "the command line, and files": "__main__ cli configured explain deployed",
        "processes, sockets, and the node": """app workers server batch upstream streams web nodelocal
            certificate pulse""",
        "plug-ins follow the cluster, files and other servers": """chain router pods metrics plugins.cache
            plugins.cluster plugins.forward plugins.hosts plugins.loop plugins.rewrite plugins.static""",
        "for tests": "testing",
    },
    "ingress/kingress": {
        "the command line": "__main__ cli ask",
        "processes and sockets": "process workers mates listening accept server identity",
        "requests, from client to endpoint": "gateway h1.client h1.upstream upstreams checks",
        "the loop: routes and certificates that follow the cluster": """controller secrets tls certificates authorities
            state""",
        "pages": "admin",
    },
    "netns-lab/netnslab": {
        "the command line": "cli commands parser completing terminal targets remote check doctor",
        "the host: namespaces, files, processes": """kernel syscalls network routes place state lock lifecycle lab
            outside descriptors growing owners mounting""",
        "the lab's processes": "supervisor zygote child caller control processes running kept readiness",
        "the assembly": "cluster facts manifests trust",
        "pods": """echo kubelet.clearing kubelet.kubelet kubelet.launch kubelet.pod kubelet.probing kubelet.runner
            kubelet.sandbox kubelet.standin kubelet.surroundings kubelet.execution kubelet.answering
            kubelet.podvolumes kubelet.volumefiles kubelet.logtimes""",
        "workloads": """workloads workloads.controllers workloads.effects workloads.holdings workloads.unattended
            workloads.world""",
    },
}
EFFECTS = {
    *("aiohttp", "asyncio", "concurrent", "ctypes", "fcntl", "http.client", "http.server", "importlib", "logging"),
    *("multiprocessing", "os", "pathlib", "pyroute2", "random", "resource", "secrets", "select", "shutil", "signal"),
    *("socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid", "uvloop"),
}
HARMLESS = {
    *("importlib.metadata", "importlib.resources"),  # what is installed does not change
    "pyroute2.netlink.generic.ipvs",  # messages and their numbers
    *("os.strerror", "socket.AF_INET", "socket.AF_INET6"),  # names of numbers
    *("kapi.client.PatchKind", "kapi.server.discovery.KUBERNETES", "netnslab.kubelet.launch.HANDED"),  # words, a number
}
EFFECTFUL_CALLS = {"open", "print", "input"}


def effectful(package: str) -> set[str]:
    """The modules of a package that may have effects, as they are imported."""
    name = package.partition("/")[2]
    return {f"{name}.{word}" for words in EFFECTFUL[package].values() for word in words.split()}


def modules(package: str) -> dict[str, Path]:
    """The modules of a package; one called as its folder is, is the folder's `__init__.py`."""
    top = (ROOT / package).parent
    files = (ROOT / package).rglob("*.py")
    return {".".join(file.relative_to(top).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


ALL = {name: file for package in EFFECTFUL for name, file in modules(package).items()}
IMPURE = {name for package in EFFECTFUL for name in effectful(package)}


def imported(node: ast.AST) -> Iterator[str]:
    """What a module imports to run, by its whole name; what is there for type checkers only is not run."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def within(name: str, those: set[str]) -> bool:
    """Whether a name is one of those, or in one of them."""
    return any(name == each or name.startswith(f"{each}.") for each in those)


def has_effects(name: str) -> bool:
    """Whether what is imported by a name has effects. A package of ours has none for the sake of its modules."""
    if within(name, HARMLESS):
        return False
    module = name if name in ALL else name.rpartition(".")[0]
    return within(name, EFFECTS) or module in IMPURE


def effects(tree: ast.Module) -> Iterator[str]:
    """Say what effects a module has, where it has any."""
    yield from (f"imports {name}" for name in imported(tree) if has_effects(name))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in EFFECTFUL_CALLS:
                yield f"calls {name} in line {node.lineno}"
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr="now" | "utcnow" | "today"):
                yield f"reads the clock in line {node.lineno}"


@pytest.mark.parametrize("name", sorted(ALL.keys() - IMPURE))
def test_a_pure_module_has_no_effects(name: str) -> None:
    found = list(effects(tree(ALL[name])))
    assert not found, f"{name} {', '.join(found)}"


@pytest.mark.parametrize("package", EFFECTFUL)
def test_a_module_that_may_have_effects_has_some(package: str) -> None:
    """Else it is pure, and does not belong on the list."""
    for name in effectful(package):
        assert name in ALL, f"there is no {name}"
        assert any(effects(tree(ALL[name]))), f"{name} is pure"
