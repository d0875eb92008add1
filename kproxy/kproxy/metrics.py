"""What the proxy counts about its own work, under kube-proxy's names. Pure: times are given by the caller.

`docs/reference/metrics.md` lists every name. The two IP families are synced in one step here, so the metrics have no
label `ip_family`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from kproxy.exposition import Histogram, family
from kproxy.model import Duties

if TYPE_CHECKING:
    from kproxy.sync import Done

Rules = Mapping[str, tuple[int, int]]
_SYNC_BOUNDS = tuple(0.001 * 2**power for power in range(15))
_PROGRAMMING_BOUNDS = (0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30))


class Metrics:
    """Counters of one proxy; `lines` writes them for Prometheus."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._syncs = {
            kind: Histogram(f"kubeproxy_sync_{kind}proxy_rules_duration_seconds", told, _SYNC_BOUNDS)
            for kind, told in (
                ("", "Seconds that a sync of the rules took."),
                ("full_", "Seconds that a full sync of the rules took."),
                ("partial_", "Seconds that a sync of what changed took."),
            )
        }
        told = "Seconds from the change of a pod until the rules followed it."
        self._programming = Histogram("kubeproxy_network_programming_duration_seconds", told, _PROGRAMMING_BOUNDS)
        self._changes = Counter[str]()
        self._pages = Counter[tuple[str, int]]()
        self._without_local: dict[str, frozenset[str]] = {}
        self._failures = Counter[str]()
        self.last_synced = 0.0  # seconds since the epoch
        self.last_queued = 0.0

    def queued(self, now: float) -> None:
        """A change has been noted."""
        self.last_queued = now

    def synced(self, done: Done, now: float) -> None:
        """A sync has succeeded; `now` is in seconds since the epoch."""
        for kind in ("", "full_" if done.full else "partial_"):
            self._syncs[kind].observe(done.seconds)
        for trigger in done.taken.triggers:
            if (moment := seconds_of(trigger)) is not None:
                self._programming.observe(max(now - moment, 0.0))
        self._changes.update(service=done.taken.services, endpoint=done.taken.slices)
        self.last_synced = now
        if done.full:
            self._without_local.clear()
        for key, owed in done.wanted.items():
            policies = _without_local(owed)
            if policies:
                self._without_local[key] = policies
            else:
                self._without_local.pop(key, None)

    def failed(self, full: bool) -> None:
        """A sync has failed."""
        self._failures["full" if full else "partial"] += 1

    def page(self, name: str, status: int) -> None:
        """Somebody asked for /healthz or /livez."""
        self._pages[name, status] += 1

    def lines(
        self, pending: Mapping[str, int], forgotten: int, rules: Rules = MappingProxyType({}), on_localhost: int = 0
    ) -> Iterator[str]:
        """Write everything.

        `pending` counts objects that wait, by "service" and "endpoint", `forgotten` UDP flows, `rules` those that there
        are and those that the last sync wrote, by table, `on_localhost` connections to NodePorts there.
        """
        for histogram in (*self._syncs.values(), self._programming):
            yield from histogram.lines()
        prefix = "kubeproxy_sync_proxy_rules"
        told = "Seconds since the epoch at which the rules were last synced."
        yield from family(f"{prefix}_last_timestamp_seconds", "gauge", told, [({}, self.last_synced)])
        told = "Seconds since the epoch at which a sync was last asked for."
        yield from family(f"{prefix}_last_queued_timestamp_seconds", "gauge", told, [({}, self.last_queued)])
        for kind in ("endpoint", "service"):
            told = f"Changes of {kind}s that are in place."
            yield from family(f"{prefix}_{kind}_changes_total", "counter", told, [({}, self._changes[kind])])
            told = f"Changes of {kind}s that wait."
            yield from family(f"{prefix}_{kind}_changes_pending", "gauge", told, [({}, pending.get(kind, 0))])
        yield from self._no_local(f"{prefix}_no_local_endpoints_total")
        yield from self._failed(prefix)
        yield from self._of_iptables(rules, on_localhost)
        for name in ("healthz", "livez"):
            series = [
                ({"code": str(code)}, count) for (page, code), count in sorted(self._pages.items()) if page == name
            ]
            yield from family(f"kubeproxy_proxy_{name}_total", "counter", f"Answers of /{name}.", series)
        told = "UDP flows that were forgotten, because their endpoint no longer serves."
        yield from family("kubeproxy_conntrack_reconciler_deleted_entries_total", "counter", told, [({}, forgotten)])

    def _of_iptables(self, rules: Rules, on_localhost: int) -> Iterator[str]:
        if self.mode.partition("-")[0] != "iptables":
            return
        for place, what, told in (
            (0, "total", "Rules of iptables that there are."),
            (1, "last", "Rules of iptables that the last sync wrote."),
        ):
            series = [({"table": table}, counted[place]) for table, counted in rules.items()]
            yield from family(f"kubeproxy_sync_proxy_rules_iptables_{what}", "gauge", told, series)
        told = "First packets of connections to NodePorts on localhost that were accepted."
        name = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total"
        yield from family(name, "counter", told, [({}, on_localhost)])

    def _no_local(self, name: str) -> Iterator[str]:
        counted = Counter(policy for policies in self._without_local.values() for policy in policies)
        series = [({"traffic_policy": policy}, counted[policy]) for policy in ("internal", "external")]
        yield from family(name, "gauge", "Services with a policy of Local and no endpoint on this node.", series)

    def _failed(self, prefix: str) -> Iterator[str]:
        total = self._failures.total()
        match self.mode.partition("-")[0]:  # of the flavours of iptables, too
            case "iptables":
                told, partial = "Failures of iptables-restore.", self._failures["partial"]
                yield from family(f"{prefix}_iptables_restore_failures_total", "counter", told, [({}, total)])
                name = f"{prefix}_iptables_partial_restore_failures_total"
                yield from family(name, "counter", "Failures that a full sync followed.", [({}, partial)])
            case mode:
                told = "Syncs that failed and were tried again."
                yield from family(f"{prefix}_{mode}_sync_failures_total", "counter", told, [({}, total)])


def seconds_of(stamp: str) -> float | None:
    """Read a time as Kubernetes writes it, in seconds since the epoch; None where it is none."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None


def _without_local(owed: Duties) -> frozenset[str]:
    """Say which policies of Local leave a Service without endpoints here, though others have some."""
    found = set[str]()
    for frontend in owed.frontends:
        if frontend.nobody_inside:
            found.add("internal")
        if frontend.nobody_outside:
            found.add("external")
    return frozenset(found)
