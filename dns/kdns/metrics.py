"""Numbers for Prometheus, under the names that CoreDNS gave them: dashboards made for it keep working."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import dnslib

from kdns import wire
from kdns.histogram import SECONDS, Histogram, Labels, braced
from kdns.observe import Seen
from kdns.plugins.cache import Cache
from kdns.plugins.cluster import Cluster
from kdns.plugins.forward import Forward
from kdns.plugins.hosts import HostsFiles
from kdns.query import OPT_START
from kdns.settings import Listen

_SIZES = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)
_TYPES = {"A", "AAAA", "CNAME", "DNSKEY", "DS", "HTTPS", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "ANY", "AXFR", "IXFR"}


_ADDITIONAL = 11  # offset of the lower octet of a query's count of additional records
_DO = 11  # offset of the flags of EDNS after a question's name
_MOST_RAW = 4096  # different queries that are counted before they are sorted out
# zone, proto, family, type, rcode, plug-in, octets both ways, DO
_Key = tuple[str, str, str, bytes, int, str, int, int, bool]
_THEIR_NAMES = {"cluster": "kubernetes"}  # of plug-ins, where CoreDNS' are others
T = TypeVar("T")


class Metrics:
    """What one place's queries were; `server` is how CoreDNS names it, such as `dns://:53`."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._raw: dict[_Key, int] = {}
        self._requests: Counter[tuple[str, str, str, str]] = Counter()  # zone, proto, family, type
        self._responses: Counter[tuple[str, str, str]] = Counter()  # zone, rcode, plug-in
        self._dnssec: Counter[str] = Counter()  # zone
        self.https: Counter[int] = Counter()  # HTTP status
        self._seconds: dict[str, Histogram] = {}
        self._asked: dict[tuple[str, str], Histogram] = {}
        self._answered: dict[tuple[str, str], Histogram] = {}

    def count(self, seen: Seen, zone: str) -> None:
        """Count one query that was answered."""
        end = seen.query.find(0, wire.HEADER) + 1
        sizes = len(seen.query), len(seen.reply)
        kind, rcode = seen.query[end : end + 2], seen.reply[3] & 15
        self._count(
            (zone, seen.proto, seen.family, kind, rcode, seen.author, *sizes, _wants_dnssec(seen.query, end)), 1
        )
        self._histogram(self._seconds, zone, SECONDS).observe(seen.seconds)

    def count_many(
        self,
        replied: Sequence[tuple[bytes, bytes, str]],
        seconds: float,
        family: str,
        zone: Callable[[bytes], str] | None,
    ) -> None:
        """Count queries over UDP that were answered together; without `zone` all names are in the root.

        This is on the way of every query: what differs in nothing is only counted here, and sorted out when asked for.
        """
        raw = self._raw
        for query, reply, author in replied:
            end = query.find(0, wire.HEADER) + 1
            where = zone(query[wire.HEADER : end].lower()) if zone else "."
            dnssec = query[_ADDITIONAL] > 0 and _wants_dnssec(query, end)
            kind, rcode = query[end : end + 2], reply[3] & 15
            key = (where, "udp", family, kind, rcode, author, len(query), len(reply), dnssec)
            raw[key] = raw.get(key, 0) + 1
        self._histogram(self._seconds, where, SECONDS).observe(seconds / len(replied), len(replied))
        if len(raw) > _MOST_RAW:
            self._sort_out()

    def _sort_out(self) -> None:
        raw, self._raw = self._raw, {}
        for key, count in raw.items():
            self._count(key, count)

    def _count(self, key: _Key, count: int) -> None:
        zone, proto, family, kind, rcode, author, asked, answered, dnssec = key
        self._dnssec[zone] += count * dnssec
        self._requests[zone, proto, family, _NAMES.get(kind, "other")] += count
        self._responses[zone, _RCODES.get(rcode, "OTHER"), _THEIR_NAMES.get(author, author)] += count
        self._histogram(self._asked, (zone, proto), _SIZES).observe(asked, count)
        self._histogram(self._answered, (zone, proto), _SIZES).observe(answered, count)

    @staticmethod
    def _histogram(table: dict[T, Histogram], key: T, bounds: tuple[float, ...]) -> Histogram:
        known = table.get(key)
        if known is None:
            known = table[key] = Histogram(bounds)
        return known

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Give (name, kind, line) of all numbers."""
        self._sort_out()
        base: Labels = (("server", self._server),)
        labels: Labels
        for (zone, proto, family, kind), count in self._requests.items():
            labels = (*base, ("zone", zone), ("view", ""), ("proto", proto), ("family", family), ("type", kind))
            yield _line("coredns_dns_requests_total", "counter", labels, count)
        for (zone, rcode, author), count in self._responses.items():
            labels = (*base, ("zone", zone), ("view", ""), ("rcode", rcode), ("plugin", author))
            yield _line("coredns_dns_responses_total", "counter", labels, count)
        for zone, count in self._dnssec.items():
            labels = (*base, ("zone", zone), ("view", ""))
            yield _line("coredns_dns_do_requests_total", "counter", labels, count)
        for status, count in self.https.items():
            yield _line("coredns_dns_https_responses_total", "counter", (*base, ("status", str(status))), count)
        for zone, histogram in self._seconds.items():
            name = "coredns_dns_request_duration_seconds"
            labels = (*base, ("zone", zone), ("view", ""))
            yield from ((name, "histogram", line) for line in histogram.lines(name, labels))
        for name, table in (("request", self._asked), ("response", self._answered)):
            for (zone, proto), histogram in table.items():
                full = f"coredns_dns_{name}_size_bytes"
                labels = (*base, ("zone", zone), ("view", ""), ("proto", proto))
                yield from ((full, "histogram", line) for line in histogram.lines(full, labels))


def server_name(listen: Listen) -> str:
    """Name a place as CoreDNS does: `dns://:53` for every address."""
    host = "" if listen.address.is_unspecified else str(listen.address)
    return f"{listen.scheme}://{f'[{host}]' if ':' in host else host}:{listen.port}"


def plugin_lines(plugins: Iterable[object], server: str) -> Iterator[tuple[str, str, str]]:
    """Give the numbers that plug-ins keep themselves."""
    base = (("server", server),)
    plugins = tuple(plugins)
    dropped = sum(group.streams.dropped for each in plugins if isinstance(each, Forward) for group in each.groups)
    for plugin in plugins:
        name = str(getattr(plugin, "name", ""))
        labels = (*base, ("zone", "."), ("view", ""), ("name", _THEIR_NAMES.get(name, name)))
        yield _line("coredns_plugin_enabled", "gauge", labels, 1)
        if isinstance(plugin, Cache):
            yield from _cache_lines(plugin, dropped, (*base, ("zones", "."), ("view", "")))
        elif isinstance(plugin, Forward):
            yield from _forward_lines(plugin)
        elif isinstance(plugin, HostsFiles):
            yield _line("coredns_hosts_entries", "gauge", (), sum(table.entries for table in plugin.tables))
        elif isinstance(plugin, Cluster):
            yield _line("coredns_autopath_success_total", "counter", base, plugin.walked)
            name = "coredns_kubernetes_dns_programming_duration_seconds"
            for kind, histogram in plugin.programming.items():
                yield from ((name, "histogram", line) for line in histogram.lines(name, (("service_kind", kind),)))


def text(lines: Iterable[tuple[str, str, str]]) -> str:
    """Give the text that Prometheus reads: each name's lines together, after its kind."""
    grouped: dict[str, tuple[str, list[str]]] = {}
    for name, kind, line in lines:
        grouped.setdefault(name, (kind, []))[1].append(line)
    return "".join(f"# TYPE {name} {kind}\n" + "\n".join(found) + "\n" for name, (kind, found) in grouped.items())


def added(lines: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Add up the numbers of several processes, line by line; what is or is not enabled stays 1."""
    sums: dict[str, tuple[str, str, float]] = {}
    for name, kind, line in lines:
        series, _, value = line.rpartition(" ")
        known = sums.get(series, (name, kind, 0.0))[2]
        once = name in {"coredns_plugin_enabled", "coredns_build_info", "coredns_reload_version_info"}
        sums[series] = name, kind, float(value) if once else known + float(value)
    for series, (name, kind, total) in sums.items():
        yield name, kind, f"{series} {total!r}"


def _cache_lines(cache: Cache, dropped: int, base: Labels) -> Iterator[tuple[str, str, str]]:
    counts = cache.counts
    yield _line("coredns_cache_drops_total", "counter", base, dropped)
    for kind, size in zip(("success", "denial"), cache.sizes, strict=True):
        yield _line("coredns_cache_entries", "gauge", (*base, ("type", kind)), size)
    for kind, hits in (("success", counts.hits - counts.denials), ("denial", counts.denials)):
        yield _line("coredns_cache_hits_total", "counter", (*base, ("type", kind)), hits)
    numbers = {
        "misses": counts.misses,
        "requests": counts.hits + counts.misses,
        "prefetch": counts.prefetches,
        "served_stale": counts.stale,
        "evictions": counts.evictions,
    }
    for name, value in numbers.items():
        yield _line(f"coredns_cache_{name}_total", "counter", base, value)


def _forward_lines(forward: Forward) -> Iterator[tuple[str, str, str]]:
    groups = forward.groups
    yield _line("coredns_forward_max_concurrent_rejects_total", "counter", (), sum(g.rejected for g in groups))
    yield _line("coredns_forward_healthcheck_broken_total", "counter", (), sum(g.broken for g in groups))
    name = "coredns_proxy_request_duration_seconds"
    labels: Labels
    for group in groups:
        for server, histogram in group.seconds.items():
            labels = (("proxy_name", "forward"), ("to", str(server)))
            yield from ((name, "histogram", line) for line in histogram.lines(name, labels))
        for name, counts in (("hits", group.streams.reused), ("misses", group.streams.opened)):
            for server, count in counts.items():
                proto = "tcp-tls" if server.tls_name else "tcp"
                labels = (("proxy_name", "forward"), ("to", str(server)), ("proto", proto))
                yield _line(f"coredns_proxy_conn_cache_{name}_total", "counter", labels, count)
        for server, failures in group.probe_failures.items():
            labels = (("proxy_name", "forward"), ("to", str(server)))
            yield _line("coredns_proxy_healthcheck_failures_total", "counter", labels, failures)


def _line(name: str, kind: str, labels: Labels, value: float) -> tuple[str, str, str]:
    return name, kind, f"{name}{braced(labels)} {value}"


def _wants_dnssec(query: bytes, end: int) -> bool:
    """Whether the OPT record of a query, after a name that ends there, has the flag DO."""
    return query[end + 4 : end + 7] == OPT_START and query[end + _DO : end + _DO + 1] > b"\x7f"


_RCODES: Mapping[int, str] = {code: str(dnslib.RCODE.get(code)) for code in range(6)}
_NAMES: Mapping[bytes, str] = {int(dnslib.QTYPE.reverse[name]).to_bytes(2, "big"): name for name in _TYPES}
