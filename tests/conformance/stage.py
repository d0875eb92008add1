"""Where conformance cases play: a node, pods on it and beside it, a client outside, in namespaces of their own.

    pod 10.244.1.3 ---+
    L   10.244.1.2 ---+-- node 172.30.0.11 --- beyond (the way out: what no rule takes arrives here)
    L2  10.244.1.4 ---+    |          \
    R   10.244.2.2 --------+           +------ outside 198.51.100.10 (knows the way to every service address)
"""

from __future__ import annotations

import itertools
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network

from tests.conformance import sctp

from kapi.network import Address
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Route, Step, Sysctl, Up, Veth

NODE = "here"
ADDRESSES: dict[int, dict[str, str]] = {
    4: {
        "loopback": "127.0.0.1",
        "node": "172.30.0.11",
        "gateway": "10.244.1.1",
        "pod": "10.244.1.3",
        "L": "10.244.1.2",
        "L2": "10.244.1.4",
        "R": "10.244.2.2",
        "beyond": "172.30.0.1",
        "outside": "198.51.100.10",
        "node-outside": "198.51.100.1",
        "clusterIP": "10.96.0.10",
        "clusterIP2": "10.96.0.11",
        "unallocated": "10.96.0.99",
        "lb": "203.0.113.1",
        "externalIP": "203.0.113.2",
    },
    6: {
        "loopback": "::1",
        "node": "fd30::11",
        "gateway": "fd44:0:0:1::1",
        "pod": "fd44:0:0:1::3",
        "L": "fd44:0:0:1::2",
        "L2": "fd44:0:0:1::4",
        "R": "fd44:0:0:2::2",
        "beyond": "fd30::1",
        "outside": "2001:db8:1::10",
        "node-outside": "2001:db8:1::1",
        "clusterIP": "fd96::10",
        "clusterIP2": "fd96::11",
        "unallocated": "fd96::99",
        "lb": "2001:db8:203::1",
        "externalIP": "2001:db8:203::2",
    },
}
POD_NETWORKS = {4: "10.244.1.0/24", 6: "fd44:0:0:1::/64"}
SERVICE_NETWORKS = {4: "10.96.0.0/16", 6: "fd96::/112"}
WIDTH = {4: 32, 6: 128}
PORTS = (8080, 8081, 80, 81)
KINDS = {
    "TCP": (socket.SOCK_STREAM, 0),
    "UDP": (socket.SOCK_DGRAM, 0),
    "SCTP": (socket.SOCK_RAW, sctp.PROTOCOL),
}


def address(name: str, family: int) -> Address:
    """The address of a named place."""
    return ip_address(ADDRESSES[family][name])


def node_addresses(family: int) -> frozenset[Address]:
    """Every address of the node."""
    return frozenset(address(name, family) for name in ("node", "gateway", "node-outside"))


@dataclass
class Stage:
    """The namespaces, and servers in them that answer with their name and the address they saw."""

    namespaces: dict[str, Namespace] = field(default_factory=dict)
    _servers: dict[socket.socket, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _ports: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(10_000, 30_000)))  # of clients

    def build(self) -> None:
        """Make everything."""
        for name in ("node", "pod", "L", "L2", "R", "beyond", "outside"):
            self.namespaces[name] = Namespace.create()
            # IPv6 addresses are usable at once, not only when it is clear that nobody else has them.
            self.namespaces[name].apply([Sysctl("net/ipv6/conf/default/accept_dad", "0")])
        for name in ("pod", "L", "L2", "R"):
            self._pod(name)
        self._neighbour("beyond", "node", "beyond")
        self._neighbour("outside", "node-outside", "outside")
        self._node()
        for name in ("L", "L2", "R", "beyond", "node"):
            self._serve(name)
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Unmake it; namespaces go with their last descriptor."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        for server in self._servers:
            server.close()
        for namespace in self.namespaces.values():
            namespace.close()

    def _pod(self, name: str) -> None:
        pod, node = self.namespaces[name], self.namespaces["node"]
        node.apply([Veth(f"v-{name}", name, "eth0")], self.namespaces)
        inside: list[Step] = [Up("lo")]
        outside: list[Step] = []
        for family in (4, 6):
            own, gateway = address(name, family), address("gateway", family)
            width = WIDTH[family]
            outside += [Assign(f"v-{name}", ip_interface(f"{gateway}/{width}"))]
            outside += [Route(ip_network(own), link=f"v-{name}")]
            inside += [Assign("eth0", ip_interface(f"{own}/{width}")), Route(ip_network(gateway), link="eth0")]
            inside += [Route(_everything(family), link="eth0", via=(gateway,), onlink=True)]
        node.apply(outside)
        pod.apply(inside)

    def _neighbour(self, name: str, node_side: str, far_side: str) -> None:
        node, far = self.namespaces["node"], self.namespaces[name]
        node.apply([Veth(f"v-{name}", name, "eth0")], self.namespaces)
        for family in (4, 6):
            prefix = 24 if family == 4 else 64
            near, there = address(node_side, family), address(far_side, family)
            node.apply([Assign(f"v-{name}", ip_interface(f"{near}/{prefix}"))])
            far.apply([Up("lo"), Assign("eth0", ip_interface(f"{there}/{prefix}"))])
            far.apply([Route(_everything(family), via=(near,))])

    def _node(self) -> None:
        node, beyond = self.namespaces["node"], self.namespaces["beyond"]
        node.apply([Up("lo"), Sysctl("net/ipv4/ip_forward", "1"), Sysctl("net/ipv6/conf/all/forwarding", "1")])
        # The kernel holds ICMP errors back when it has sent many: cases would see silence where there is a rejection.
        node.apply([Sysctl("net/ipv4/icmp_ratelimit", "0"), Sysctl("net/ipv6/icmp/ratelimit", "0")])
        for family in (4, 6):
            node.apply([Route(_everything(family), via=(address("beyond", family),))])
            for name in ("lb", "externalIP", "unallocated"):
                beyond.apply([Assign("lo", ip_interface(f"{address(name, family)}/{WIDTH[family]}"))])

    def _serve(self, name: str) -> None:
        namespace = self.namespaces[name]
        for family in (socket.AF_INET, socket.AF_INET6):
            packets = namespace.socket(family, *KINDS["SCTP"])
            packets.setblocking(False)
            self._servers[packets] = name
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for port in PORTS:
                    server = namespace.socket(family, kind)
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    # A forwarder may take one address of the node from under the node's own server.
                    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    if family == socket.AF_INET6:
                        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    server.bind(("", port))
                    if kind == socket.SOCK_STREAM:
                        server.listen(64)
                    server.setblocking(False)
                    self._servers[server] = f"{name} {port}"

    def _answer(self) -> None:
        with selectors.DefaultSelector() as waiting:
            for server in self._servers:
                waiting.register(server, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in waiting.select(timeout=0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    _answer_one(key.fileobj, self._servers[key.fileobj])

    def ask(
        self, client: str, to: Address, port: int, protocol: str, *, source: Address | None = None, patience: float = 2
    ) -> str:
        """Send one request: "name port source" of who answered, or "reject", or "silence"."""
        family = socket.AF_INET if to.version == 4 else socket.AF_INET6
        kind, number = KINDS[protocol]
        with self.namespaces[client].socket(family, kind, number) as asking:
            asking.settimeout(patience)
            if protocol != "SCTP":
                # A port that nothing has come from lately: what the kernel remembers of earlier flows decides nothing.
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                asking.bind((str(source or ""), next(self._ports)))
            try:
                asking.connect((str(to), 0 if protocol == "SCTP" else port))
                if protocol == "SCTP":
                    return sctp.ask(asking, port, next(self._ports))
                if protocol == "UDP":
                    with suppress(PermissionError):  # the host's own rules took it; why, the answer tells
                        asking.send(b"?")
                return asking.recv(200).decode() or "silence"
            except (ConnectionRefusedError, ConnectionResetError):  # a forwarder resets what it cannot refuse
                return "reject"
            except TimeoutError:
                return "silence"


def _everything(family: int) -> IPv4Network | IPv6Network:
    return ip_network("0.0.0.0/0" if family == 4 else "::/0")


def _answer_one(server: socket.socket, name: str) -> None:
    try:
        if server.type == socket.SOCK_STREAM:
            with server.accept()[0] as connection:
                connection.send(f"{name} {connection.getpeername()[0]}".encode())
        elif server.type == socket.SOCK_RAW:
            sctp.answer(server, name, PORTS)
        else:
            _, client = server.recvfrom(100)
            server.sendto(f"{name} {client[0]}".encode(), client)
    except OSError:
        pass  # the client has gone: nobody waits for this answer
