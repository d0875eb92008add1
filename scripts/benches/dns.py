"""The DNS server beside unbound, dnsmasq and CoreDNS, one core for each, asked the same by dnsperf in the same run.

The command itself is measured, as people run it, following an API server; so is CoreDNS. All are asked in turns, many
times over, and what is compared is the ratio within a turn: what else a machine does changes from second to second.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dnslib

from benches.row import Row, row
from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kdns import names
from kdns.testing import endpoint_slice, namespace, service

CLUSTER_IPS = 10_000  # Services with a ClusterIP
HEADLESS = 5_000
ENDPOINTS = 10  # behind each headless Service
SECONDS = 1
ROUNDS = 5
LATENCY_ROUNDS = 15  # short ones: what else a machine does for some milliseconds decides a single one
CHANGES = 50
QUESTIONS = 20_000
DRAWN = 100  # Services of each kind that are asked for as soon as it is ready
FORWARDED = 2000
COREDNS = Path(__file__).parents[2] / "peers" / "bin" / "coredns"
SERVER_CORE, CLIENT_CORE = 0, (os.cpu_count() or 1) - 1
LAST = HEADLESS - 1  # the headless Service that is written last


def missing() -> list[str]:
    """What cannot be measured here."""
    absent = [tool for tool in ("dnsperf", "unbound", "dnsmasq") if not shutil.which(tool)]
    return absent if COREDNS.exists() else [*absent, "CoreDNS (scripts/peers coredns)"]


def rows() -> Iterator[Row]:
    """Measure: what is loaded and how fast, then queries a second."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-dns-")))
        api = stack.enter_context(api_server())
        peer = stack.enter_context(unbound(folder)) if shutil.which("unbound") else 0
        ours, seconds, process = stack.enter_context(kdns(api, peer))
        yield row(f"kdns: start with {CLUSTER_IPS + HEADLESS} Services, until ready", seconds, "s", most=5)
        yield row("kdns: one endpoint changed, until an answer shows it", change(api, ours) * 1000, "ms", most=5)
        wait_until_idle(process)  # so all names are compiled
        yield row("kdns: memory with all of them", memory(process, "VmRSS"), "MB", most=150, digits=1)
        yield row("kdns: the most memory it has had", memory(process, "VmHWM"), "MB", digits=1)
        if not shutil.which("dnsperf"):
            return
        peers = {"unbound": peer} if peer else {}
        if COREDNS.exists():
            peers["CoreDNS"] = stack.enter_context(coredns(folder, api))
        plain = {**peers}  # dnsmasq walks a list of all SRV records: it is not made for so many
        if shutil.which("dnsmasq"):
            plain["dnsmasq"] = stack.enter_context(dnsmasq(folder, peer))
        yield from side_by_side("names of Services", write(folder, hits()), ours, plain)
        yield from side_by_side("80 % misses", write(folder, misses()), ours, plain)
        yield from side_by_side("headless SRV", write(folder, srvs()), ours, peers)
        if peer:
            yield from beside_unbound(folder, ours, peer, plain.get("dnsmasq", 0))


def write(folder: Path, asked: list[str]) -> Path:
    """Write a file of questions for dnsperf."""
    questions = folder / "questions"
    questions.write_text("\n".join(asked) + "\n")
    return questions


def side_by_side(name: str, questions: Path, ours: int, peers: dict[str, int]) -> Iterator[Row]:
    """Queries a second of each: as many as unbound, twice as many as CoreDNS."""
    mine, *others = rates([ours, *peers.values()], questions)
    theirs = dict(zip(peers, others, strict=True))
    yield row(f"kdns: {name}", statistics.median(mine), "queries/s", digits=0)
    for label, found in theirs.items():
        yield row(f"{label}: {name}", statistics.median(found), "queries/s", digits=0)
    for label, least in (("unbound", 1.0), ("CoreDNS", 2.0)):
        if label in theirs:
            yield row(f"kdns to {label}: {name}", ratio(mine, theirs[label]), "times", least=least)


def beside_unbound(folder: Path, ours: int, peer: int, third: int) -> Iterator[Row]:
    """What is forwarded and remembered, half as fast as unbound; and how long an answer takes at half load.

    Half the load is half of what the slower of the two can answer, and the same for both.
    """
    questions = write(folder, [f"n{n}.example A" for n in range(FORWARDED)])
    for port in (ours, third):
        if port:
            rate(port, questions)
    mine, theirs, *rest = rates([port for port in (ours, peer, third) if port], questions)
    yield row("kdns: forwarded, from its cache", statistics.median(mine), "queries/s", digits=0)
    yield row("unbound: the same names", statistics.median(theirs), "queries/s", digits=0)
    for other in rest:
        yield row("dnsmasq: the same names, from its cache", statistics.median(other), "queries/s", digits=0)
    yield row("kdns to unbound: forwarded, from its cache", ratio(mine, theirs), "times", least=0.5)
    questions = write(folder, hits())
    half = min(map(statistics.median, rates([ours, peer], questions))) / 2
    mine, theirs = in_turns([ours, peer], LATENCY_ROUNDS, lambda port: p99(port, questions, half) * 1000)
    yield row(f"kdns: p99 at {half:.0f} queries/s", statistics.median(mine), "ms")
    yield row("unbound: p99 at as many", statistics.median(theirs), "ms")
    yield row("kdns to unbound: p99", ratio(mine, theirs), "times", most=1.0)


def ratio(mine: list[float], theirs: list[float]) -> float:
    """The median of the ratios within each turn."""
    return statistics.median(our / their for our, their in zip(mine, theirs, strict=True))


def hits() -> list[str]:
    """Questions for Services that exist."""
    rng = random.Random(1)
    return [f"{service_name(rng.randrange(CLUSTER_IPS))} A" for _ in range(QUESTIONS)]


def misses() -> list[str]:
    """Four questions of five for what a search path makes of `example.com`."""
    rng = random.Random(2)
    return [
        f"{f'example{n}.com.ns{n % 100}.svc.cluster.local' if rng.random() < 0.8 else service_name(n)} A"
        for n in (rng.randrange(CLUSTER_IPS) for _ in range(QUESTIONS))
    ]


def srvs() -> list[str]:
    """Questions for the ports of headless Services."""
    return [f"_http._tcp.{headless_name(n % HEADLESS)} SRV" for n in range(QUESTIONS)]


def headless_name(n: int) -> str:
    """The n-th headless Service's name."""
    return f"head{n}.ns{n % 100}.svc.cluster.local"


def service_name(n: int) -> str:
    """The n-th Service's name."""
    return f"svc{n}.ns{n % 100}.svc.cluster.local"


def rates(ports: list[int], questions: Path) -> list[list[float]]:
    """Queries a second of each in every turn."""
    return in_turns(ports, ROUNDS, lambda port: rate(port, questions))


def in_turns(ports: list[int], rounds: int, measure: Callable[[int], float]) -> list[list[float]]:
    """Measure each in every turn; a turn begins with another of them than the one before."""
    found: list[list[float]] = [[] for _ in ports]
    for turn in range(rounds):
        for at in range(len(ports)):
            which = (turn + at) % len(ports)
            found[which].append(measure(ports[which]))
    return found


def rate(port: int, questions: Path) -> float:
    """Queries a second that are answered."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions), "-l", str(SECONDS)]
    command += ["-c", "16", "-q", "200", "-T", "1", "-e"]  # with EDNS: ten SRV records need the room
    done = subprocess.run(pinned(CLIENT_CORE, command), capture_output=True, text=True, check=True)
    found = re.search(r"Queries per second:\s+([\d.]+)", done.stdout)
    return float(found[1]) if found else 0.0


def p99(port: int, questions: Path, load: float) -> float:
    """Seconds within which 99 of 100 queries are answered, at so many a second; each question is asked once."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions), "-n", "1", "-v"]
    command += ["-c", "16", "-q", "200", "-T", "1", "-Q", str(round(load))]
    done = subprocess.run(pinned(CLIENT_CORE, command), capture_output=True, text=True, check=True)
    return p99_told(done.stdout)


def p99_told(told: str) -> float:
    """Read what dnsperf says of every query: one that is lost, or answered with an error, takes for ever."""
    sent = re.search(r"Queries sent:\s+(\d+)", told)
    times = sorted(float(line.rpartition(" ")[2]) for line in told.splitlines() if line.startswith("> NOERROR"))
    times += [math.inf] * ((int(sent[1]) if sent else 0) - len(times))
    return times[len(times) * 99 // 100] if times else math.inf


@contextmanager
def api_server() -> Iterator[str]:
    """Give the URL of an API server with all objects, which has listed them before: its own start is not measured."""
    words = [sys.executable, "-m", "benches.dns"]
    with subprocess.Popen(pinned(CLIENT_CORE, words), stdout=subprocess.PIPE, text=True) as api:
        try:
            assert api.stdout is not None
            server = api.stdout.readline().strip()
            assert server, "the API server ended"
            for path in ("/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"):
                with urllib.request.urlopen(f"{server}{path}") as listing:
                    listing.read()
            yield server
        finally:
            api.kill()


@contextmanager
def kdns(api: str, upstream: int) -> Iterator[tuple[int, float, int]]:
    """The command, following the API: its port, how many seconds it took until it was ready, and its process."""
    port, health = unused_port(), unused_port()
    words = [sys.executable, "-m", "kdns", "--server", api, "--listen", f"127.0.0.1:{port}"]
    words += ["--health", f"127.0.0.1:{health}"]
    words += ["--upstream", f"127.0.0.1:{upstream}"] if upstream else ["--no-forward"]
    started = time.monotonic()
    with subprocess.Popen(pinned(SERVER_CORE, words), stdout=subprocess.DEVNULL) as process:
        try:
            while not is_ready(health):
                time.sleep(0.01)
            seconds = time.monotonic() - started
            check_drawn(port)
            yield port, seconds, process.pid
        finally:
            process.kill()


def check_drawn(port: int) -> None:
    """Ask for some of the names, ports and addresses of the whole cluster, now that it says it is ready."""
    for (name, kind), expected in drawn(random.Random(3)):
        reply = dnslib.DNSRecord.question(name, kind).send("127.0.0.1", port, tcp=True, timeout=5)
        found = {str(record.rdata) for record in dnslib.DNSRecord.parse(reply).rr}
        assert found == expected, f"it says that it is ready, and of {name} {kind} it says {found or 'nothing'}"


def drawn(rng: random.Random) -> Iterator[tuple[tuple[str, str], set[str]]]:
    """Draw questions with what their answers are, as `services` and `headless` write them; with the last of each."""
    for n in [CLUSTER_IPS - 1, *(rng.randrange(CLUSTER_IPS) for _ in range(DRAWN))]:
        address = f"10.96.{n // 256 + 1}.{n % 256}"
        yield (service_name(n), "A"), {address}
        yield (ip_address(address).reverse_pointer, "PTR"), {f"{service_name(n)}."}
    for n in [LAST, *(rng.randrange(HEADLESS) for _ in range(DRAWN))]:
        endpoints = [*(f"10.{k}.{n // 256}.{n % 256}" for k in range(ENDPOINTS - 1)), f"11.0.{n // 256}.{n % 256}"]
        ends = {address: f"{address.replace('.', '-')}.{headless_name(n)}." for address in endpoints}
        yield (f"_http._tcp.{headless_name(n)}", "SRV"), {f"0 10 8080 {end}" for end in ends.values()}
        address = rng.choice(endpoints)
        yield (ip_address(address).reverse_pointer, "PTR"), {ends[address]}


def wait_until_idle(process: int) -> None:
    """Wait until a process has nothing left to do: until it takes no time of a core for a while."""
    deadline, before = time.monotonic() + 120, -1
    while (taken := core_time(process)) != before:
        assert time.monotonic() < deadline, "it never rests"
        before = taken
        time.sleep(0.5)


def core_time(process: int) -> int:
    """Time of a core that a process has taken, in the kernel's ticks (of 10 ms)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def is_ready(port: int) -> bool:
    """Whether a server says so."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def change(api: str, port: int) -> float:
    """Seconds from the word of the API server that an endpoint has changed to the first answer that shows it."""
    return asyncio.run(changed(api, port))


async def changed(api: str, port: int) -> float:
    """Change one endpoint again and again; the median."""
    client = Client.connect(api)
    times = []
    for turn in range(1, CHANGES):
        await client.update(ENDPOINT_SLICES, headless(7, turn))
        started = time.perf_counter()
        wanted = bytes((11, turn, 7 // 256, 7 % 256))
        while wanted not in addresses(port, headless_name(7)):
            assert time.perf_counter() - started < 10, "the change is not seen"
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0.05)
    await client.close()
    return statistics.median(times)


def addresses(port: int, name: str) -> bytes:
    """What follows the question in the answer to a query for addresses; nothing where there are none."""
    query = b"\0\1\1\0\0\1" + bytes(6) + names.to_wire(name) + b"\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
        sock.send(query)
        reply = sock.recv(4096)
        return reply[len(query) :] if reply[7] else b""


def memory(process: int, what: str) -> float:
    """Megabytes of memory that a process has, or has had at most."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


@contextmanager
def unbound(folder: Path) -> Iterator[int]:
    """Unbound with the same Services as local data: its port."""
    port = unused_port()
    records = [f"{service_name(n)}. 5 IN A 10.96.{n // 256 + 1}.{n % 256}" for n in range(CLUSTER_IPS)]
    records += [f"n{n}.example. 3600 IN A 192.0.2.{n % 256}" for n in range(FORWARDED)]
    for n in range(HEADLESS):
        base = f"head{n}.ns{n % 100}.svc.cluster.local."
        records += [
            f"_http._tcp.{base} 5 IN SRV 0 10 8080 10-{k}-{n // 256}-{n % 256}.{base}" for k in range(ENDPOINTS)
        ]
    data = "\n".join(f'local-data: "{record}"' for record in records)
    settings = f"""server:
interface: 127.0.0.1@{port}
num-threads: 1
do-daemonize: no
username: ""
chroot: ""
pidfile: ""
use-syslog: no
local-zone: "cluster.local." static
local-zone: "example." static
{data}
"""
    config = folder / "unbound.conf"
    config.write_text(settings)
    with subprocess.Popen(
        pinned(SERVER_CORE, ["unbound", "-d", "-c", str(config)]), stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.kill()


@contextmanager
def dnsmasq(folder: Path, upstream: int) -> Iterator[int]:
    """Give the port of dnsmasq with the same Services, whose addresses it reads as a hosts file."""
    port = unused_port()
    hosts = folder / "hosts"
    hosts.write_text("".join(f"10.96.{n // 256 + 1}.{n % 256} {service_name(n)}\n" for n in range(CLUSTER_IPS)))
    words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=", "--pid-file=", f"--port={port}"]
    words += ["--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}"]
    words += ["--local=/cluster.local/", "--cache-size=10000", "--dns-forward-max=10000", "--local-ttl=5"]
    words += [f"--server=127.0.0.1#{upstream}"] if upstream else []
    with subprocess.Popen(pinned(SERVER_CORE, words), stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield port
        finally:
            process.kill()


@contextmanager
def coredns(folder: Path, api: str) -> Iterator[int]:
    """CoreDNS as kubeadm configures it, following the same API server: its port."""
    port, ready = unused_port(), unused_port()
    config = folder / "Corefile"
    config.write_text(
        f".:{port} {{\n bind 127.0.0.1\n ready 127.0.0.1:{ready}\n cache 30\n loadbalance\n"
        f" kubernetes cluster.local {{\n  endpoint {api}\n  pods insecure\n  ttl 30\n }}\n}}\n"
    )
    command = pinned(SERVER_CORE, [str(COREDNS), "-conf", str(config)])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, "GOMAXPROCS": "1"}, **quiet) as process:
        try:
            wait_for(ready)
            time.sleep(8)  # it is ready when it has listed; what it makes of the lists comes after
            yield port
        finally:
            process.kill()


def pinned(core: int, command: list[str]) -> list[str]:
    """Run a command on one core only."""
    return ["taskset", "-c", str(core), *command] if shutil.which("taskset") else command


def unused_port() -> int:
    """A port that is free on loopback, below those that the kernel gives to connections."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp, suppress(OSError):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            return port


def wait_for(port: int) -> None:
    """Wait until TCP connections are accepted."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


async def serve_api() -> None:
    """Be the API server: print the URL once all objects are there."""
    from kapi.server import ApiServer  # noqa: PLC0415  # only in its own process
    from kapi.store.memory import MemoryStore  # noqa: PLC0415  # as above

    async with ApiServer(MemoryStore()) as api:
        client = api.client()
        for n in range(100):
            await client.create(NAMESPACES, namespace(f"ns{n}"))
        for made in services():
            await client.create(SERVICES, made)
        for n in range(HEADLESS):
            await client.create(ENDPOINT_SLICES, headless(n, 0))
        sock = socket.create_server(("127.0.0.1", 0))
        await api.listen(sock)
        print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
        await asyncio.Event().wait()


def services() -> Iterator[dict[str, Any]]:
    """All Services: those with a ClusterIP, then the headless ones."""
    for n in range(CLUSTER_IPS):
        yield service(f"svc{n}", namespace=f"ns{n % 100}", ips=[f"10.96.{n // 256 + 1}.{n % 256}"], ports=["http:80"])
    for n in range(HEADLESS):
        yield service(f"head{n}", namespace=f"ns{n % 100}", ports=["http:80"])


def headless(n: int, turn: int) -> dict[str, Any]:
    """The slice of the n-th headless Service; `turn` changes one endpoint."""
    addresses = [f"10.{k}.{n // 256}.{n % 256}" for k in range(ENDPOINTS - 1)] + [f"11.{turn}.{n // 256}.{n % 256}"]
    return endpoint_slice(f"head{n}-1", f"head{n}", addresses, namespace=f"ns{n % 100}", ports=["http:8080"])


if __name__ == "__main__":
    asyncio.run(serve_api())
