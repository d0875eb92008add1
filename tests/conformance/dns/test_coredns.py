"""The released CoreDNS and this server are asked the same of the same cluster; each difference has a reason.

The reasons are told in docs/reference/conformance.md, section "DNS".
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import dnslib
import pytest
from tests.conformance.dns import asking

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

ZONE = "cluster.local"
TYPES = ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "MX", "NS", "SOA", "ANY", "HTTPS")
QUESTIONS = 4000
SELF = re.compile(r"\bk?(core)?dns(?=\.peers\.svc\.)")  # what each is called in a lab


@dataclass(frozen=True)
class Seen:
    """What a reply says, without order, serial numbers, and the size of EDNS."""

    rcode: str
    aa: int
    tc: int
    answer: tuple[str, ...]
    authority: tuple[str, ...]
    additional: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A query, and how it is sent."""

    name: str
    type: str
    message: bytes
    stream: bool
    six: bool

    def to(self, hosts: Sequence[str], port: int) -> asking.Query:
        """Address it to a server, by its IPv4 and IPv6 addresses."""
        return self.message.hex(), hosts[self.six], port, self.stream


def seen(reply: str) -> Seen:
    parsed = dnslib.DNSRecord.parse(bytes.fromhex(reply))
    extra = [record for record in parsed.ar if record.rtype != dnslib.QTYPE.OPT]
    rcode = dnslib.RCODE.get(parsed.header.get_rcode())
    return Seen(rcode, parsed.header.aa, parsed.header.tc, listed(parsed.rr), listed(parsed.auth), listed(extra))


def listed(records: list[Any]) -> tuple[str, ...]:
    return tuple(sorted(written(record) for record in records))


def written(record: Any) -> str:
    data = str(record.rdata)
    kind = dnslib.QTYPE.get(record.rtype)
    if kind == "SOA":
        words = data.split()
        data = " ".join([*words[:2], "SERIAL", *words[3:]])
    return SELF.sub("self", f"{record.rname} {record.ttl} {kind} {data}".lower())


def questions(world: Any, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Names that exist, that nearly exist, and that do not, with all types."""
    yield from ((ZONE, "NS"), (f"ring.shop.svc.{ZONE}", "A"), ("svc.244.10.in-addr.arpa", "A"))
    names = [*known(world, rng), *APEXES]
    while True:
        name = rng.choice(names)
        chance = rng.random()
        if chance < 0.1:
            name = "".join(rng.choice((c.upper(), c)) for c in name)
        elif chance < 0.2:
            name = f"{rng.choice(BEFORE)}.{name}"
        elif chance < 0.3:
            labels = name.split(".")
            labels[rng.randrange(min(3, len(labels)))] = rng.choice(("gone", "shop", "svc", "_udp"))
            name = ".".join(labels)
        elif chance < 0.35:
            name = name.partition(".")[2] or name
        yield name, rng.choice(TYPES if chance > 0.6 else ("A", "AAAA", "SRV"))


BEFORE = (
    *("x", "_http", "_tcp", "http", "tcp", "pod-0", "10-244-0-1", "a.b"),
    *("_x._y", "_http._tcp", "http.tcp", "_https.tcp", "dns._udp", "dns.udp", "x-1.udp"),
)
APEXES = [
    *(f"{name}{ZONE}" for name in ("", "svc.", "pod.", "shop.svc.", "void.svc.", "shop.pod.", "dns-version.", "dns.")),
    *(f"{name}.{ZONE}" for name in ("1-2-3-4.shop.pod", "fd00--1.shop.pod", "junk.shop.pod", "web", "a.web")),
    *("1.96.10.in-addr.arpa", "96.10.in-addr.arpa", "0.244.10.in-addr.arpa", "250.250.244.10.in-addr.arpa"),
    *("ext.example", "1-2-3-4.gone.pod.cluster.local", "1-2-3.shop.pod.cluster.local"),
]


def known(world: Any, rng: random.Random) -> Iterator[str]:
    from ipaddress import ip_address

    for made in world.services:
        meta, spec = made["metadata"], made["spec"]
        base = f"{meta['name']}.{meta['namespace']}.svc.{ZONE}"
        yield base
        for port in spec["ports"]:
            yield f"_{port['name']}._{port['protocol'].lower()}.{base}"
        yield from (ip_address(ip).reverse_pointer for ip in spec.get("clusterIPs", ()) if ip != "None")
    for piece in world.slices:
        meta = piece["metadata"]
        base = f"{meta['labels']['kubernetes.io/service-name']}.{meta['namespace']}.svc.{ZONE}"
        for endpoint in piece["endpoints"]:
            address = ip_address(endpoint["addresses"][0])
            yield address.reverse_pointer
            yield f"{endpoint.get('hostname', 'pod-9')}.{base}"
            yield f"{str(address).replace('.', '-').replace(':', '-')}.{base}"


def drawn(world: Any, count: int) -> list[Question]:
    """Draw questions over UDP and TCP, IPv4 and IPv6, with and without EDNS."""
    rng = random.Random(11)
    found = []
    for name, kind in islice(questions(world, rng), count):
        query = dnslib.DNSRecord.question(name, kind)
        stream, six = rng.random() < 0.4, rng.random() < 0.33
        if rng.random() < 0.5:
            query.add_ar(dnslib.EDNS0(udp_len=rng.choice((512, 1232, 4096))))
        found.append(Question(name, kind, bytes(query.pack()), stream, six))
    return found


REASONS = {
    "elsewhere": "names that are nobody's here are refused; CoreDNS says SERVFAIL, or gives no SOA (hosts)",
    "alias": "an ExternalName has its CNAME for every type, and keeps it where its target does not exist",
    "ring": "ExternalNames that lead back to themselves are an error, as RFC 1034 section 3.6.2 asks: SERVFAIL",
    "unnamed": "a port without a name has no name; CoreDNS takes `_` for it",
    "reverse": "a reverse zone has addresses only; in CoreDNS it has `svc` as the cluster's domain has",
    "endpoint": "CoreDNS has SRV records at the names of endpoints too, which the specification does not know",
    "pods": "the names of pods have no SRV records, none below them exists, and without pods there is no pod.ZONE",
    "server": "a zone has a name server even where this server listens on loopback only; CoreDNS then has none. It has "
    "the addresses of its name server once each; CoreDNS repeats them",
    "size": "the target of an SRV record is not compressed (RFC 2782), so a long answer over UDP is cut sooner",
    "soa": "an SOA asked for at a name that does not exist: NXDOMAIN, where CoreDNS says NODATA",
    "nonterminal": "a name exists where names below it do, or records of other types: NODATA (RFC 8020)",
}


def reason(world: Any, name: str, kind: str, ours: Seen, theirs: Seen) -> str:
    """Which of the reasons it is that two replies differ; empty where there is none."""
    name = name.lower()
    labels = ["", "", *name.split(".")]
    codes = (ours.rcode, theirs.rcode)
    if not name.endswith((ZONE, ".arpa")) or codes == ("REFUSED", "SERVFAIL"):
        return "elsewhere"
    if codes == ("SERVFAIL", "NOERROR") and not theirs.answer and name in world.aliases:
        return "ring"
    if name in world.aliases:
        return "alias"
    if name.endswith(".arpa") and "svc" in labels and codes == ("NXDOMAIN", "NOERROR"):
        return "reverse"
    if "_" in labels:
        return "unnamed"
    if kind == "NS" and name == ZONE:
        return "server"
    if kind == "SRV" and (ours.tc > theirs.tc or (theirs.tc and ours.answer == theirs.answer)):
        return "size"
    if kind == "SRV" and len(labels) == 8 and not ours.answer and codes == ("NOERROR", "NOERROR"):
        return "endpoint"
    if labels[-3] == "pod" and theirs.rcode == "NOERROR" and (kind == "SRV" or len(labels) > 7) and not ours.answer:
        return "pods"
    if labels[-3] == "pod" and len(labels) < 7 and codes == ("NXDOMAIN", "NOERROR"):
        return "pods"
    if kind == "SOA" and codes == ("NXDOMAIN", "NOERROR"):
        return "soa"
    if codes == ("NOERROR", "NXDOMAIN") and not ours.answer:
        return "nonterminal"
    return ""


@pytest.mark.parametrize("like", ["exist", "like-coredns"])
def test_every_difference_has_a_reason(
    world: Any, kdns: Callable[..., Any], coredns: Callable[..., Any], like: str
) -> None:
    with kdns(f"--empty-names={like}") as ours, coredns() as theirs:
        counted = compared(world, ours, theirs, QUESTIONS)
    expected = set(REASONS) - ({"soa", "nonterminal"} if like == "like-coredns" else set())
    assert counted == expected, "a reason that explains nothing is to be deleted"


@pytest.mark.parametrize(
    "options",
    ["endpoint_pod_names", "ignore empty_service", "namespaces shop a-b", "pods disabled", "pods verified", "ttl 7"],
)
def test_the_same_corefile_makes_the_same_server(
    world: Any, kdns_by_corefile: Callable[..., Any], coredns: Callable[..., Any], options: str
) -> None:
    with kdns_by_corefile(options) as ours, coredns(options) as theirs:
        compared(world, ours, theirs, QUESTIONS // 4)


def compared(world: Any, ours: int, theirs: int, count: int) -> set[str]:
    """Ask both on loopback; see `explained`."""
    asked = drawn(world, count)
    mine, others = (asking.replies([each.to(("127.0.0.1", "::1"), port) for each in asked]) for port in (ours, theirs))
    return explained(world, asked, mine, others)


def explained(world: Any, asked: list[Question], ours: list[str], theirs: list[str]) -> set[str]:
    """Give the reasons of all differences; one without a reason fails."""
    counted: Counter[str] = Counter()
    for question, mine, other in zip(asked, map(seen, ours), map(seen, theirs), strict=True):
        if mine == other or (mine.tc and other.tc):
            continue
        why = reason(world, question.name, question.type, mine, other)
        assert why, f"{question}:\n ours {mine}\n CoreDNS {other}"
        counted[why] += 1
    return set(counted)


def test_every_reason_is_told_in_the_reference() -> None:
    told = " ".join((Path(__file__).parents[3] / "docs/reference/conformance.md").read_text().split())
    assert not [reason for reason in REASONS.values() if reason not in told]
