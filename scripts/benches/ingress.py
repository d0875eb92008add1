"""The ingress beside nginx and HAProxy: one core, the same upstream, the same load, in turns in one run.

Under most loads one request comes again and again, as the tools send it, and what was learnt of its head is used again;
under one, no head was ever seen before.

All have 1,000 hosts to choose from and write an access log; the ingress is the command as anybody runs it, follows an
API server, and counts for /metrics. Each target is held twice: to requests/s as the load counts them, and to what a
second of the core is good for, by the processor time of each proxy. The first is what a client sees, but where nginx
does not use its whole core, the core of the load and the upstream was the limit, and flatters who is behind; the second
knows no such limit.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benches.entrance.cluster import apart, cluster, free_port, tell
from benches.entrance.proxies import HOST, LOAD_CORE, ROUTES, Proxy, certificate, haproxy, kingress, nginx, upstream
from benches.row import Row, row

SECONDS = 2
CONNECTIONS = 64
ROUNDS = 5
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Cache-Control": "max-age=0",
}
_SCRIPTS = Path(__file__).with_name("entrance")
_NEEDED = ("wrk", "nginx", "taskset", "openssl", "unshare", "ip")


class Load(NamedTuple):
    """One kind of load, and how many requests the ingress is to answer for each of nginx', by processor time."""

    name: str
    least: float
    scheme: str = "http"
    path: str = "/"
    headers: dict[str, str] = {}  # noqa: RUF012  # never altered
    script: str = ""  # of wrk, beside the proxies: makes the requests


SMALL = Load("small keep-alive requests", 0.8)
LOADS = (
    SMALL,
    Load("with 12 browser headers", 0.72, headers=BROWSER),
    Load("no request like another, with 12 browser headers", 0.8, headers=BROWSER, script="differing.lua"),
    Load("100 KB bodies", 1.0, path="/big"),
    Load("TLS, small keep-alive requests", 0.7, "https"),
    Load("TLS, with 12 browser headers", 0.63, "https", headers=BROWSER),
    Load("a new connection for each request", 0.5, headers={"Connection": "close"}),
)


class Measured(NamedTuple):
    """What a proxy did in one run."""

    rate: float  # requests/s of the clock
    cost: float  # microseconds of processor time for each
    slowest: float  # milliseconds within which 99 % were answered
    share: float  # of that time, of the process that worked least, among those that serve

    @property
    def used(self) -> float:
        """Per cent of its core."""
        return self.rate * self.cost / 1e4


def missing() -> list[str]:
    """What cannot be measured here."""
    return [tool for tool in (*_NEEDED, "haproxy") if not shutil.which(tool)]


def rows() -> Iterator[Row]:
    """Measure each proxy under each load. About four minutes."""
    if not set(missing()) & set(_NEEDED):
        yield from apart("benches.ingress")


def _measure() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # nginx' worker is another user
        certificate(folder)
        port = free_port()
        stack.enter_context(upstream(folder, port))
        api = stack.enter_context(cluster(folder, ROUTES, {"one": port}, tls=True))
        with contextlib.ExitStack() as beside:
            proxies = [beside.enter_context(each) for each in (nginx(folder, port), haproxy(folder, port))]
            there = [*(each for each in proxies if each), beside.enter_context(kingress(folder, api))]
            for load in LOADS:
                yield from _compared(load, there)
        yield from _scaled(folder, api)


def _compared(load: Load, proxies: list[Proxy]) -> Iterator[Row]:
    """Give what each does in a second, and what ours does beside nginx: by the clock, and for the same processor time.

    Each ratio is of two runs that followed each other, and what is told is the median of these.
    """
    names = [each.name for each in proxies]
    rounds = [dict(zip(names, [_run(each, load) for each in proxies], strict=True)) for _ in range(ROUNDS)]
    for name in names:
        measured = _median([each[name] for each in rounds])
        yield row(f"{load.name}: {name}", measured.rate, "requests/s", digits=0)
        yield row(f"{load.name}: {name}, processor time", measured.cost, "us/request", digits=1)
        yield row(f"{load.name}: {name}, of its core", measured.used, "%", digits=0)
        yield row(f"{load.name}: {name}, 99 % within", measured.slowest, "ms", digits=1)
    told = f"{load.name}: kingress / nginx"
    done = statistics.median(each["nginx"].cost / each["kingress"].cost for each in rounds)
    waited = statistics.median(each["kingress"].slowest / each["nginx"].slowest for each in rounds)
    rate = statistics.median(each["kingress"].rate / each["nginx"].rate for each in rounds)
    yield row(f"{told}, requests/s", rate, "", least=load.least, digits=2)
    yield row(f"{told}, requests per processor time", done, "", least=load.least, digits=2)
    most = 1.5 if load is SMALL else None
    yield row(f"{told}, time within which 99 % are answered", waited, "", most=most, digits=2)


def _scaled(folder: Path, api: str) -> Iterator[Row]:
    """Give what two processes on two cores are good for, beside one on one core.

    The load runs on the same two cores, so the clock cannot show it. Two cores have twice the processor time: what is
    measured is how many requests that time is enough for, and whether both processes get their part of the work.
    """
    with contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(kingress(folder, api, workers)) for workers in (1, 2)]
        rounds = [[_run(each, SMALL) for each in proxies] for _ in range(ROUNDS)]
    one, two = (_median(list(runs)) for runs in zip(*rounds, strict=True))
    ratio = statistics.median(2 * alone.cost / both.cost for alone, both in rounds)
    yield row("one process: processor time", one.cost, "us/request", digits=1)
    yield row("two processes: processor time", two.cost, "us/request", digits=1)
    yield row("two processes / one, requests on as many cores", ratio, "", least=1.8, digits=2)
    yield row("two processes: work of the lesser one", 100 * two.share, "%", digits=0)


def _median(runs: list[Measured]) -> Measured:
    return Measured(*(statistics.median(values) for values in zip(*runs, strict=True)))


def _run(proxy: Proxy, load: Load) -> Measured:
    before = proxy.seconds()
    rate, slowest = _wrk(proxy.ports[load.scheme], load)
    spent = [now - then for then, now in zip(before, proxy.seconds(), strict=True)]
    working = spent[1:] if len(spent) > 2 else spent
    return Measured(rate, sum(spent) / (rate * SECONDS) * 1e6, slowest, min(working) / (sum(spent) or 1))


def _wrk(port: int, load: Load) -> tuple[float, float]:
    """Give requests per second, of answers that are all 200, and the milliseconds within which 99 % came."""
    said = {"Host": HOST, **load.headers}
    flags = [flag for name, value in said.items() for flag in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "--latency", *flags]
    command += ["-s", str(_SCRIPTS / load.script)] if load.script else []
    url = f"{load.scheme}://127.0.0.1:{port}{load.path}"
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"requests failed on port {port}:\n{done.stdout}")
    slowest, unit = re.search(r"^ +99% +([\d.]+)(us|ms|s)", done.stdout, re.MULTILINE).groups()  # type: ignore[union-attr]
    rate = float(done.stdout.partition("Requests/sec:")[2].split()[0])
    return rate, float(slowest) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


if __name__ == "__main__":
    tell(_measure())
