"""docs/reference/metrics.md names every metric that the page has, and no other, with the labels of traffic."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

from kapi.network import Protocol
from kproxy.metrics import Metrics
from kproxy.model import Counted, Place, Target
from kproxy.totals import Totals

TEXT = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text()
OWN, _, TRAFFIC = TEXT.partition("\n## Traffic")
VIP = Place(4, ip_address("10.96.0.1"), Protocol.TCP, 80)


def first_cells(text: str) -> list[str]:
    """The names in the first cell of each row, without their labels."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name.partition("{")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def told() -> set[str]:
    """The metrics of the table, in full: `..._x` goes on from where it differs from the name before."""
    names: list[str] = []
    for name in first_cells(OWN.partition("| name | counts |")[2]):
        if name.startswith("sync_full_..."):
            name = "sync_full_proxy_rules_duration_seconds"
        elif name.startswith("sync_partial_..."):
            name = "sync_partial_proxy_rules_duration_seconds"
        elif name.startswith("..."):
            name = "sync_proxy_rules" + name.removeprefix("...")
        names.append(name.replace("<mode>", "nftables"))
    return {f"kubeproxy_{name}" for name in names}


def families(lines: list[str]) -> set[str]:
    return {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_every_metric_of_the_proxy_is_told() -> None:
    found = {name for mode in ("nftables", "iptables") for name in families(list(Metrics(mode).lines({}, 0)))}
    assert told() == found


def test_every_metric_of_traffic_is_told_with_its_labels() -> None:
    totals = Totals()
    totals.take([Counted(VIP, Target(VIP.address or ip_address("::"), 1), "in", 1, 1)], {VIP: "a/b:c"}, frozenset())
    lines = list(totals.lines(endpoints=True))
    assert set(first_cells(TRAFFIC)) == families(lines)
    service, endpoint = (re.findall(r'(\w+)="', next(x for x in lines if x.startswith(f"kproxy_{k}"))) for k in KINDS)
    row = next(line for line in TRAFFIC.splitlines() if line.startswith("| `kproxy_service"))
    assert re.findall(r"`(\w+)`", row.split("|")[2]) == service
    assert [*service, "endpoint"] == endpoint


KINDS = ("service_packets_total{", "endpoint_packets_total{")
