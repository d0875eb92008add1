"""How long a connection takes to begin, through a Service among many and straight to the pod: `connect SERVICES`.

`connect SERVICES counted` says what counting its traffic costs: connections through it with and without, in turns.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_interface, ip_network

from benches.proxying.cluster import Running, endpoint_slice
from kproxy import counting
from kproxy.counting import Counting
from kproxy.host import Host, InNamespace
from kproxy.sync import Done
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Route, Sysctl, Up, Veth

TRIES = 3000
ROUNDS, SECONDS = 5, 0.7
POD = "11.0.0.2"
PORTS = (
    8080,
    8081,
)  # the Service's, and one of its own for the direct way: neither waits for a port the other has used


async def measure(services: int, *, counted: bool = False) -> dict[str, float]:
    """Connect in turns; the medians of seconds, and of connections a second."""
    with Namespace.create() as node, Namespace.create() as pod, Namespace.create() as client:
        for name, far, subnet in (("v-pod", pod, "11.0.0"), ("v-client", client, "11.1.0")):
            node.apply([Veth(name, "far", "eth0")], {"far": far})
            node.apply([Up("lo"), Assign(name, ip_interface(f"{subnet}.1/24")), Sysctl("net/ipv4/ip_forward", "1")])
            far.apply([Up("lo"), Assign("eth0", ip_interface(f"{subnet}.2/24"))])
            far.apply([Route(ip_network("0.0.0.0/0"), via=(ip_interface(f"{subnet}.1/24").ip,))])
        proxy = Running(node, "nftables")
        proxy.fill(services, 2)
        for piece in (endpoint_slice(services // 2, 1, at=POD),):
            proxy.slices.put(piece)
        await proxy.start()
        with ExitStack() as servers:
            for port in PORTS:
                server = servers.enter_context(pod.socket(socket.AF_INET, socket.SOCK_STREAM))
                server.bind((POD, port))
                server.listen(4096)
                servers.callback(server.shutdown, socket.SHUT_RDWR)
                threading.Thread(target=_serve, args=(server,), daemon=True).start()
            address = proxy.services[f"default/service-{services // 2}"].cluster_ips[0]
            if counted:
                found = await asyncio.to_thread(_counted, client, InNamespace(node.fd), address)
            else:
                found = await asyncio.to_thread(_both, client, address)
        await proxy.stop()
    return found


def _serve(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def _both(client: Namespace, address: object) -> dict[str, float]:
    times: dict[str, list[float]] = {"direct": [], "service": []}
    with client.entered():
        for _ in range(TRIES):
            for name, place in (("direct", (POD, PORTS[1])), ("service", (str(address), 80))):
                with socket.socket() as asking:
                    started = time.perf_counter()
                    asking.connect(place)
                    times[name].append(time.perf_counter() - started)
                    asking.recv(1)
        rates: dict[str, list[float]] = {"direct rate": [], "service rate": []}
        for _ in range(ROUNDS):
            for name, place in (("direct rate", (POD, PORTS[1])), ("service rate", (str(address), 80))):
                rates[name].append(_rate(place))
    return {name: statistics.median(found) for name, found in (times | rates).items()}


def _counted(client: Namespace, node: Host, address: object) -> dict[str, float]:
    rates: dict[str, list[float]] = {"counted": [], "not counted": []}
    with client.entered():
        for _ in range(ROUNDS):
            for name, found in rates.items():
                if name == "counted":
                    Counting(node).take(Done(0, 0.0, full=True))
                else:
                    counting.clear(node)
                found.append(_rate((str(address), 80)))
    return {name: statistics.median(found) for name, found in rates.items()}


def _rate(place: tuple[str, int]) -> float:
    """Make connections one after the other, to their end; how many in a second."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        with socket.socket() as asking:
            asking.connect(place)
            asking.recv(1)
        count += 1
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), counted="counted" in sys.argv))))
