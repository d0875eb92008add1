"""One generated cluster, in one API server, with two DNS servers that follow it: this one and the released CoreDNS."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dnslib
import pytest
from dnslib.server import BaseResolver, DNSLogger, DNSServer
from tests.ports import unused_port

from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, NAMESPACES, PODS, SERVICES
from kdns.testing import endpoint_slice, namespace, service

Json = dict[str, Any]

PEERS = Path(__file__).parents[3] / "peers" / "bin"
SPACES = ("default", "shop", "kube-system", "void", "a-b")
PORTS = ("http:80", "https:443", "dns:53/UDP", "dns-tcp:53", ":7000", "x-1:1234/UDP")
CHAIN = [(f"link-{n}", f"link-{n + 1}") for n in range(14)] + [("link-14", "shares-0")]
TARGETS = (
    *("ext.example", "ext.example.", "x.ext.example", "elsewhere.example", "1.1.96.10.in-addr.arpa"),
    *(f"{name}cluster.local" for name in ("", "svc.", "ns.dns.", "no.shop.svc.", "shop.svc.", "1-2-3-4.shop.pod.")),
)
REVERSE = ("10.96.0.0/16", "10.244.0.0/16", "fd96::/112", "fd44::/64")
COREFILE = """
{zones} {{
  {bind}
  ready {ready}
  hosts {{
    10.9.9.9 ext.example
    ttl 30
    fallthrough
  }}
  kubernetes cluster.local {reverse} {{
    {cluster}
    pods insecure
    ttl 30
    {options}
  }}
}}
"""


# As kubeadm has it, with an upstream behind: all reverse zones are served, and what is not there is handed on.
KUBEADM = """
.:{port} {{
  {bind}
  ready {ready}
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    {cluster}
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 30
    {options}
  }}
  forward . 127.0.0.1:{upstream} {{
    max_concurrent 1000
  }}
  loadbalance
}}
"""


class World:
    """The objects of a drawn cluster; equal seeds draw equal clusters."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.services: list[Json] = []
        self.slices: list[Json] = []
        self.pods = [self._pod(n) for n in range(1, 40)]
        self._last = 0
        for n in range(60):
            self._draw(n)
        self._draw_large()
        self._draw_odd()
        for name, leads_to in (("ring", "ring"), ("there", "back"), ("back", "there"), ("under", "x.under"), *CHAIN):
            self.services.append(service(name, namespace="shop", external=f"{leads_to}.shop.svc.cluster.local"))

    def _pod(self, n: int) -> Json:
        ips = [f"10.244.0.{n}", f"fd44::{n:x}"][:: self.rng.choice((1, -1))]
        status = {"phase": self.rng.choice(("Running", "Running", "Succeeded", "Pending")), "podIP": ips[0]}
        meta = {"name": f"pod-{n}", "namespace": self.rng.choice(SPACES[:3])}
        spec = {"containers": [{"name": "main", "image": "none"}], "nodeName": "node"}
        return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": spec, "status": status}

    @property
    def aliases(self) -> set[str]:
        """The names of ExternalNames."""
        made = [obj["metadata"] for obj in self.services if obj["spec"].get("externalName")]
        return {f"{meta['name']}.{meta['namespace']}.svc.cluster.local" for meta in made}

    def _draw(self, n: int) -> None:
        rng = self.rng
        kind = rng.choice(["clusterip", "clusterip", "headless", "headless", "external"])
        space = SPACES[rng.randrange(3)] if n % 7 else "a-b"
        ports = self._ports(kind)
        spec: Json = {"publishNotReadyAddresses": True} if rng.random() < 0.2 else {}
        name = f"{kind}-{n}"
        if kind == "external":
            made = service(name, namespace=space, external=self._target())
        elif kind == "headless":
            made = service(name, namespace=space, ports=ports, **spec)
        else:
            families = rng.choice([(4,), (4,), (6,), (4, 6)])
            ips = [f"10.96.1.{n + 1}" if family == 4 else f"fd96::{n + 1:x}" for family in families]
            spec["ipFamilyPolicy"] = "RequireDualStack" if len(ips) == 2 else "SingleStack"
            spec["ipFamilies"] = [f"IPv{family}" for family in families]
            made = service(name, namespace=space, ips=ips, ports=ports, **spec)
        self.services.append(made)
        if kind != "external":
            for piece in range(rng.randrange(3)):
                self._slice(made, f"{name}-{piece}", ports, always=bool(spec.get("publishNotReadyAddresses")))

    def _draw_large(self) -> None:
        """Draw what no small reply can carry: a Service with many endpoints, and an address with many names."""
        self._named("large", [f"10.244.8.{n}" for n in range(self.rng.randrange(20, 60))], ["http:80"])
        self._named("large", [f"10.244.9.{n}" for n in range(3)], [], piece="large-without-ports")
        for n in range(self.rng.randrange(8, 14)):
            self._named(f"shares-{n}", ["10.244.10.1"], ["http:80", "dns:53/UDP"])

    def _draw_odd(self) -> None:
        """Draw slices whose port has no number, and those of a Service that is an alias, or that is not there."""
        self._named("odd", ["10.244.11.1"], ["http:80"])
        self._named("odd", ["10.244.11.2", "10.244.11.3"], [], piece="odd-without-numbers")
        self.slices[-1]["ports"] = [{"name": "all"}, {"name": "http", "protocol": "UDP"}]
        self._named("under", ["10.244.11.4"], ["http:80"], piece="of-an-alias")
        named: Json = {"addresses": ["10.244.11.5"], "hostname": "pod-0"}
        unready: Json = {"addresses": ["10.244.11.6"], "conditions": {"ready": False}}
        self._named("nobody", [named, unready, "10.244.10.1"], ["http:80"], piece="of-nobody")

    def _named(self, name: str, addresses: list[str | Json], ports: list[str], piece: str = "") -> None:
        if not piece:
            self.services.append(service(name, namespace="shop", ports=ports))
        self.slices.append(endpoint_slice(piece or name, name, list(addresses), namespace="shop", ports=ports))

    def _target(self) -> str:
        """Somewhere outside, a name that does not exist, or another Service, which may be an ExternalName too."""
        names = [f"{made['metadata']['name']}.{made['metadata']['namespace']}" for made in self.services] or ["no.shop"]
        inside = f"{self.rng.choice(names)}.svc.cluster.local"
        return self.rng.choice((*TARGETS, *[inside, f"{inside}."] * 4))

    def _ports(self, kind: str) -> list[str]:
        named = [port for port in PORTS if not port.startswith(":")]
        few = self.rng.sample(named, self.rng.randrange(0 if kind == "headless" else 1, 4))
        return few if self.rng.random() < 0.8 else [":7000"]

    def _slice(self, of: Json, name: str, ports: list[str], *, always: bool) -> None:
        family = self.rng.choice([4, 4, 6])
        endpoints: list[Json | str] = []
        for _ in range(self.rng.choice([0, 1, 2, 3, 6])):
            self._last += 0 if self._last and self.rng.random() < 0.05 else 1
            written = f"10.244.0.{self._last}" if family == 4 else f"fd44::{self._last:x}"
            endpoint: Json = {"addresses": [str(ip_address(written))]}
            if self.rng.random() < 0.4:
                endpoint["hostname"] = f"pod-{self._last % 5}"
            if self.rng.random() < 0.5:
                endpoint["targetRef"] = {
                    "kind": "Pod",
                    "name": f"{name}-{self._last}",
                    "namespace": of["metadata"]["namespace"],
                }
            endpoint["conditions"] = {"ready": always or self.rng.random() < 0.75}
            endpoints.append(endpoint)
        about = of["metadata"]
        self.slices.append(
            endpoint_slice(name, about["name"], endpoints, namespace=about["namespace"], ports=ports, family=family)
        )

    async def write(self, client: Client) -> None:
        for space in SPACES[1:]:
            if space != "kube-system":
                await client.create(NAMESPACES, namespace(space))
        for made in self.services:
            await client.create(SERVICES, made)
        for made in self.slices:
            await client.create(ENDPOINT_SLICES, made)


@pytest.fixture(scope="session")
def world() -> World:
    return World(7)


@contextmanager
def running(words: list[str], look: str, *, errors: int | None = None) -> Iterator[re.Match[str]]:
    """A process, and what it says of itself."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            assert process.stdout is not None
            found = None
            while found is None:
                line = process.stdout.readline()
                assert line, f"{words[0]} ended"
                found = re.search(look, line)
            yield found
        finally:
            process.kill()


@pytest.fixture(scope="session")
def api(world: World) -> Iterator[str]:
    """The API server, with the whole world in it."""
    import asyncio

    words = [sys.executable, "-m", "kapi.cli", "serve", "--listen", "127.0.0.1:0"]
    words += ["--service-cidr", "10.96.0.0/16", "--service-cidr", "fd96::/112"]
    with running(words, r"http://127\.0\.0\.1:\d+") as found:
        asyncio.run(written(world, found[0]))
        yield found[0]


async def written(world: World, server: str) -> None:
    client = Client.connect(server)
    await world.write(client)
    for pod in world.pods:
        await client.create(PODS, pod, pod["metadata"]["namespace"])
        await client.update(PODS, pod, subresource="status")
    await client.close()


def settled(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("not ready")


class Elsewhere(BaseResolver):  # type: ignore[misc]  # dnslib has no annotations
    """What an upstream knows: every name that has no `gone` in it, with an address and a PTR record."""

    def resolve(self, request: dnslib.DNSRecord, handler: object) -> dnslib.DNSRecord:
        reply = request.reply(aa=0)
        name, kind = request.q.qname, dnslib.QTYPE.get(request.q.qtype)
        if "gone" in str(name).lower():
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        elif kind in ("A", "PTR"):
            reply.add_answer(*dnslib.RR.fromZone(f"{name} 30 {kind} {'192.0.2.9' if kind == 'A' else 'up.example.'}"))
        if not reply.rr:
            reply.add_auth(*dnslib.RR.fromZone(". 30 SOA ns.example. root.example. 1 2 3 4 5"))
        return reply


@pytest.fixture(scope="session")
def upstream() -> Iterator[int]:
    """A server that others may ask for what they do not have; gives its port."""
    port = unused_port()
    servers = [
        DNSServer(Elsewhere(), "127.0.0.1", port, tcp=tcp, logger=DNSLogger(logf=lambda _: None))
        for tcp in (True, False)
    ]
    for server in servers:
        server.start_thread()
    yield port
    for server in servers:
        server.stop()
        server.server.server_close()


@pytest.fixture
def coredns(api: str, upstream: int, tmp_path: Path) -> Callable[..., Any]:
    """Start CoreDNS with some more lines in its kubernetes block; gives its port."""
    if not (PEERS / "coredns").exists():
        pytest.skip("CoreDNS is not built: scripts/peers coredns")

    @contextmanager
    def start(*, options: str = "", file: str = COREFILE) -> Iterator[int]:
        words = [str(PEERS / "coredns"), "-conf"]
        lines = {"cluster": f"endpoint {api}", "options": options, "upstream": str(upstream)}
        with by_corefile(words, "CoreDNS-", tmp_path / "theirs", file, **lines) as port:
            yield port

    return start


@pytest.fixture
def kdns(api: str, upstream: int, tmp_path: Path) -> Callable[..., Any]:
    """Start this server by the same Corefile, and some flags; gives its port."""

    @contextmanager
    def start(*flags: str, options: str = "", file: str = COREFILE) -> Iterator[int]:
        words = [sys.executable, "-m", "kdns", *flags, "--corefile"]
        lines = {"cluster": f"endpoint {api}", "options": options, "upstream": str(upstream)}
        with by_corefile(words, "kdns answers", tmp_path / "ours", file, **lines) as port:
            yield port

    return start


@contextmanager
def by_corefile(words: list[str], look: str, file: Path, text: str, **lines: str) -> Iterator[int]:
    """A server by a Corefile; gives its port."""
    port, ready = unused_port(), unused_port()
    where = {"ready": f"127.0.0.1:{ready}", "bind": "bind 127.0.0.1 ::1"}
    file.write_text(corefile(port, text, **where, **lines))
    with running([*words, str(file)], look, errors=subprocess.DEVNULL):
        settled(ready)
        yield port


def corefile(port: int, text: str = COREFILE, **lines: str) -> str:
    """Give a Corefile for both servers; by the one above, what is in none of its zones is refused by both."""
    zones = " ".join(f"{zone}:{port}" for zone in ("cluster.local", "ext.example", *REVERSE))
    empty = dict.fromkeys(("bind", "cluster", "options"), "")
    return text.format(**empty | {"port": str(port), "zones": zones, "reverse": " ".join(REVERSE)} | lines)
