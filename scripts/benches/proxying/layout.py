"""A layout like kube-proxy's own in nftables mode, loaded by `nft -f`: `layout SERVICES`. For comparison only.

One chain a Service, with an anonymous map of its endpoints, and one chain an endpoint.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

from kproxy.host import InNamespace
from netnslab.kernel import Namespace

ENDPOINTS = 10


def text(services: int) -> Iterator[str]:
    """Write the rules."""
    yield "add table ip peer"
    yield "add map ip peer service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }"
    yield "add chain ip peer services { type nat hook prerouting priority -100 ; }"
    yield "add chain ip peer mark-it"
    yield "add rule ip peer mark-it meta mark set meta mark or 0x4000"
    yield "add rule ip peer services ip daddr . meta l4proto . th dport vmap @service-ips"
    for number in range(services):
        yield from one(number, number * ENDPOINTS)


def one(number: int, first: int) -> Iterator[str]:
    """Write one Service."""
    address = IPv4Address(0x0A600001 + number)
    yield f"add chain ip peer service-{number}"
    for i in range(ENDPOINTS):
        endpoint = IPv4Address(0x0B000001 + first + i)
        yield f"add chain ip peer endpoint-{number}-{i}"
        yield f"add rule ip peer endpoint-{number}-{i} ip saddr {endpoint} jump mark-it"
        yield f"add rule ip peer endpoint-{number}-{i} meta l4proto tcp dnat to {endpoint}:8080"
    yield f"add rule ip peer service-{number} ip daddr {address} tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-it"
    ends = ", ".join(f"{i} : goto endpoint-{number}-{i}" for i in range(ENDPOINTS))
    yield f"add rule ip peer service-{number} numgen random mod {ENDPOINTS} vmap {{ {ends} }}"
    yield f"add element ip peer service-ips {{ {address} . tcp . 80 : goto service-{number} }}"


def measure(services: int) -> dict[str, float]:
    """Load everything, then one Service's endpoints anew; seconds."""
    with Namespace.create() as namespace:
        host = InNamespace(namespace.fd)

        def load(lines: list[str]) -> float:
            started = time.perf_counter()
            ran = host.run(["nft", "-f", "-"], "\n".join([*lines, ""]).encode())
            assert not ran.returncode, ran.stderr[:500]
            return time.perf_counter() - started

        cold = load(list(text(services)))
        ends = ", ".join(f"{i} : goto endpoint-7-{i}" for i in range(ENDPOINTS - 1))
        change = ["flush chain ip peer service-7", f"add rule ip peer service-7 numgen random mod 9 vmap {{ {ends} }}"]
        times = sorted(load(change) for _ in range(9))
    return {"cold": cold, "p50": times[4]}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
