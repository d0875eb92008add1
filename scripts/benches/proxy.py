"""How long the service proxy takes: cold starts, changes, memory, connections; every mode, and others beside it.

Everything happens in network namespaces of its own (but for the forwarders, which are on loopback ports), each
measurement in a process of its own. KPROXY_BENCH_SECONDS shortens the minute of 1,000 changes a second.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benches.proxying import ipvs, plot
from benches.proxying.growth import ENDPOINTS
from benches.row import Row, row

CHANGES = 400
SUSTAINED = float(os.environ.get("KPROXY_BENCH_SECONDS", "60"))
LAYOUTS = {
    "nftables": "kproxy nftables",
    "iptables-nft": "kproxy iptables-nft",
    "iptables-legacy": "kproxy iptables-legacy",
}
PEER = "a layout like kube-proxy's, nft -f"
RELEASED = {"nftables": "kube-proxy itself, nftables", "iptables": "kube-proxy itself, iptables"}
Found = dict[str, float]
_SIZES = {"nftables": (100, 1_000, 5_000, 20_000), "iptables-nft": (100, 300, 1_000)}
_SIZES |= {"iptables-legacy": (100, 300, 1_000), PEER: (100, 1_000, 2_500)}
_SIZES |= dict.fromkeys(RELEASED.values(), (100, 300, 1_000))  # of these, what each can bear in a minute


def measured(part: str, *words: object) -> Found:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", f"benches.proxying.{part}", *map(str, words)]
    ran = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    found: Found = json.loads(ran.stdout)
    return found


def missing() -> list[str]:
    """Name what is not there to be measured beside us."""
    built = (Path(__file__).parents[2] / "peers/bin/kube-proxy").exists()
    return [
        *([] if shutil.which("haproxy") else ["haproxy"]),
        *([] if built else ["kube-proxy (scripts/peers kube-proxy)"]),
        *([f"ipvs: {why}"] if (why := ipvs.missing()) else []),
    ]


def rows() -> list[Row]:
    """Give the table's rows."""
    return [row for part in PARTS.values() for row in part()]


def _size(services: int) -> str:
    return f"{services:,} Services x {ENDPOINTS}"


def _ours() -> Iterator[Row]:
    targets = {10_000: (3.0, None, None), 20_000: (6.0, 1.0, 5.0)}
    for services in (1_000, 10_000, 20_000):
        found = measured("growth", "nftables", services, CHANGES, SUSTAINED if services == 10_000 else 0)
        size = _size(services)
        cold, typical, slowest = targets.get(services, (None, None, None))
        yield row(f"cold start, {size}", found["cold"], "s", most=cold)
        yield row(f"one change, from its event, p50, {size}", found["p50"] * 1e3, "ms", most=typical)
        yield row(f"one change, from its event, p99, {size}", found["p99"] * 1e3, "ms", most=slowest)
        most = 250.0 if services == 10_000 else None
        yield row(f"memory, caches included, {size}", found["megabytes"], "MB", most=most, digits=0)
        if "core" in found:
            yield row(f"1,000 changes/s for {SUSTAINED:g} s, share of a core", found["core"], "", most=0.5)
            yield row("of that, what bringing them takes", found["bringing"], "")
            yield row("the latest of them, from when it was due", found["late"] * 1e3, "ms", most=100.0)


def _others() -> Iterator[Row]:
    """What the other modes and another layout cost, at a size they can bear."""
    size, ours = _size(1_000), measured("growth", "nftables", 1_000, 100, 0)
    modes = [(name, ("growth", name, 1_000, 10, 0)) for name in LAYOUTS if name != "nftables"]
    released = [(name, ("released", mode, 1_000)) for mode, name in RELEASED.items()]
    for name, what in (*modes, (PEER, ("layout", 1_000)), *released):
        found = measured(*what)
        if not found:  # it is not there
            continue
        yield row(f"{name}: cold start, {size}", found["cold"], "s")
        yield row(f"{name}: the same, of nftables mode's", found["cold"] / ours["cold"], "times")
        yield row(f"{name}: one change, p50, {size}", found["p50"] * 1e3, "ms")
        yield row(f"{name}: the same, of nftables mode's", found["p50"] / ours["p50"], "times", digits=0)


def _in_user_mode_linux() -> Iterator[Row]:
    """IPVS needs a kernel that has it, and that is slow: the iptables mode in the same kernel stands beside it."""
    for (mode, services), found in ipvs.measured().items():
        size = _size(services)
        yield row(f"{mode}, in user-mode Linux: cold start, {size}", found["cold"], "s")
        yield row(f"{mode}, in user-mode Linux: one change, p50, {size}", found["p50"] * 1e3, "ms")


def _connections() -> Iterator[Row]:
    for services in (10, 1_000, 20_000):
        found = measured("connect", services)
        yield row(f"connecting to the pod, p50, {services:,} Services", found["direct"] * 1e6, "us", digits=1)
        yield row(f"connecting through its Service, p50, {services:,} Services", found["service"] * 1e6, "us", digits=1)
        yield row(f"connections to the pod, {services:,} Services", found["direct rate"], "1/s", digits=0)
        yield row(f"connections through its Service, {services:,} Services", found["service rate"], "1/s", digits=0)
        yield row(
            f"the same, of those to the pod, {services:,} Services", found["service rate"] / found["direct rate"], ""
        )


def _counted() -> Iterator[Row]:
    """What it costs that the kernel counts the packets and bytes of each endpoint."""
    services = 1_000
    found = measured("connect", services, "counted")
    for name in ("not counted", "counted"):
        yield row(f"connections through a Service, {name}, {services:,} Services", found[name], "1/s", digits=0)
    yield row("counted, of those that are not", found["counted"] / found["not counted"], "times")


def _forwarders() -> Iterator[Row]:
    found = measured("forwarding")
    for what, unit, scale in (("bytes", "GB/s", 1e9), ("connections", "1/s", 1.0)):
        yield row(f"userspace mode, {what}", found[f"ours {what}"] / scale, unit, digits=2)
        if f"haproxy {what}" in found:
            yield row(f"HAProxy in tcp mode, {what}", found[f"haproxy {what}"] / scale, unit, digits=2)
            yield row(f"the same, of HAProxy's ({what})", found[f"ours {what}"] / found[f"haproxy {what}"], "times")


PARTS: dict[str, Callable[[], Iterable[Row]]] = {
    "growth": _ours,
    "others": _others,
    "user-mode": _in_user_mode_linux,
    "connections": _connections,
    "counting": _counted,
    "forwarders": _forwarders,
}


def _part(name: str) -> tuple[str, ...]:
    """Say what measures a layout."""
    if name == PEER:
        return ("layout",)
    mode = next((mode for mode, told in RELEASED.items() if told == name), None)
    return ("growth", name) if mode is None else ("released", mode)


def draw(folder: Path) -> list[Path]:
    """Measure how times grow, and draw them."""
    cold: dict[str, list[tuple[float, float]]] = {}
    change: dict[str, list[tuple[float, float]]] = {}
    for name, sizes in _SIZES.items():
        for services in sizes:
            found = measured(*_part(name), services, *((20, 0) if name in LAYOUTS else ()))
            if not found:
                continue
            label = LAYOUTS.get(name, name)
            cold.setdefault(label, []).append((services, found["cold"]))
            change.setdefault(label, []).append((services, found["p50"] * 1e3))
    across = f"Services, {ENDPOINTS} endpoints each"
    drawn = {
        "proxy-cold-start.svg": plot.draw("Putting everything in place", across, "seconds", cold),
        "proxy-one-change.svg": plot.draw("One endpoint changed", across, "milliseconds", change),
    }
    for name, picture in drawn.items():
        (folder / name).write_text(picture)
    return [folder / name for name in drawn]
