"""The released CoreDNS and this server are asked the same of the same cluster; each difference has a reason.

The reasons are told in docs/reference/conformance.md, section "DNS".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice, product
from pathlib import Path
from typing import Any

import dnslib
import pytest
from tests.conformance.dns import asking
from tests.conformance.dns.conftest import KUBEADM

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

ZONE = "cluster.local"
TYPES = ("A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "MX", "NS", "SOA", "ANY", "HTTPS")
QUESTIONS = 4000
SELF = re.compile(r"\b(kdns|like|coredns)(?=\.peers\.svc\.)")  # what each is called in a lab
UNSERVED = "x.ext.example"


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


def seen(reply: str, own: Sequence[str] = ()) -> Seen:
    """Read a reply; `own` are the addresses that its server has and others have not."""
    parsed = dnslib.DNSRecord.parse(bytes.fromhex(reply))
    extra = [record for record in parsed.ar if record.rtype != dnslib.QTYPE.OPT]
    rcode = dnslib.RCODE.get(parsed.header.get_rcode())
    sections = [tuple(sorted(written(record, own) for record in each)) for each in (parsed.rr, parsed.auth, extra)]
    return Seen(rcode, parsed.header.aa, parsed.header.tc, *sections)


def written(record: Any, own: Sequence[str]) -> str:
    data = str(record.rdata)
    data = f"own-{own.index(data)}" if data in own else data
    kind = dnslib.QTYPE.get(record.rtype)
    if kind == "SOA":
        words = data.split()
        data = " ".join([*words[:2], "SERIAL", *words[3:]])
    return SELF.sub("self", f"{record.rname} {record.ttl} {kind} {data}".lower())


def questions(world: Any, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Names that exist, that nearly exist, and that do not, with all types."""
    yield f"ring.shop.svc.{ZONE}", "A"
    yield from product([f"large.shop.svc.{ZONE}"] * 12, ("A", "SRV"))
    yield from product(APEXES, TYPES)
    yield from product([f"{name}odd.shop.svc.{ZONE}" for name in AT_ODD], ("A", "AAAA", "SRV", "TXT"))
    yield from product([f"{n}.11.244.10.in-addr.arpa" for n in range(1, 7)], ("PTR", "A"))
    yield from product(["ext.example", UNSERVED], ("A", "AAAA", "TXT", "MX"))
    names = [*known(world), *APEXES]
    yield from ((f"x.{name}", "PTR") for name in islice((name for name in names if name.endswith("ip6.arpa")), 20))
    while True:
        name = rng.choice(names)
        chance = rng.random()
        if chance < 0.1:
            name = "".join(rng.choice((c.upper(), c)) for c in name)
        elif chance < 0.25:
            name = f"{rng.choice(BEFORE)}.{name}"
        elif chance < 0.4:
            labels = name.split(".")
            labels[rng.randrange(min(3, len(labels)))] = rng.choice(("gone", "shop", "svc", "_udp", "_", "10-244-0-2"))
            name = ".".join(labels)
        elif chance < 0.45:
            name = name.partition(".")[2] or name
        yield name, rng.choice(TYPES if rng.random() < 0.5 else ("A", "AAAA", "SRV"))


BEFORE = (
    *("x", "_http", "_tcp", "http", "tcp", "pod-0", "10-244-0-1", "a.b", "_", "a.b.c"),
    *("_x._y", "_http._tcp", "http.tcp", "_https.tcp", "dns._udp", "dns.udp", "x-1.udp"),
    *("_._tcp", "_.udp", "_http._", "_._", "tcp._tcp", "__http._tcp"),
)
AT_ODD = (
    "",
    "_all._tcp.",
    "all.tcp.",
    "_all._udp.",
    "_http._udp.",
    "_http._tcp.",
    "_._tcp.",
    "_._udp.",
    "10-244-11-2.",
)
ORPHANS = {  # of an alias, and of no Service
    "4.11.244.10.in-addr.arpa": f"10-244-11-4.under.shop.svc.{ZONE}",
    "5.11.244.10.in-addr.arpa": f"pod-0.nobody.shop.svc.{ZONE}",
    "1.10.244.10.in-addr.arpa": f"10-244-10-1.nobody.shop.svc.{ZONE}",
}
IN_ZONE = (
    *("", "svc.", "pod.", "shop.svc.", "void.svc.", "gone.svc.", "shop.pod.", "gone.pod.", "dns-version."),
    *("x.dns-version.", "dns.", "ns.dns.", "x.ns.dns.", "apex.dns.", "web.", "a.web.", "svc.svc.", "x.pod.svc."),
    *("1-2-3-4.shop.pod.", "fd00--1.shop.pod.", "--1.shop.pod.", "junk.shop.pod.", "1-2-3-4.gone.pod."),
    *("1-2-3.shop.pod.", "x.1-2-3-4.shop.pod.", "_x._y.1-2-3-4.shop.pod.", "a.b.c.1-2-3-4.shop.pod."),
    *(
        "01-2-3-4.shop.pod.",
        "1-2-3-256.shop.pod.",
        "--ffff-102-304.shop.pod.",
        "fe80--1%1.shop.pod.",
        "x.junk.shop.pod.",
    ),
)
BACKWARD = ("96.10.in-addr.arpa", "0.0.0.0.0.0.0.0.0.0.0.0.4.4.d.f.ip6.arpa")
IN_REVERSE = ("", "1.", "0.", "250.250.", "svc.", "pod.", "x.svc.", "shop.svc.", "ns.dns.", "dns.", "1-2-3-4.shop.pod.")
APEXES = [
    *(f"{name}{ZONE}" for name in IN_ZONE),
    *(f"{name}{zone}" for zone in BACKWARD for name in IN_REVERSE),
    *("Cluster.LOCAL", "ns.DNS.cluster.local", "ns.dns.CLUSTER.local", "svc.CLUSTER.local"),
    *("0.244.10.in-addr.arpa", "in-addr.arpa", "ns.dns.in-addr.arpa", "svc.ip6.arpa", "elsewhere.example"),
]


def known(world: Any) -> Iterator[str]:
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
            dashed = str(address).replace(".", "-").replace(":", "-")
            yield from (f"{dashed}.{base}", f"{dashed}.{meta['namespace']}.pod.{ZONE}")


def drawn(world: Any, count: int, seed: int = 11) -> list[Question]:
    """Draw questions over UDP and TCP, IPv4 and IPv6, with and without EDNS."""
    rng = random.Random(seed)
    found = []
    for name, kind in islice(questions(world, rng), count):
        query = dnslib.DNSRecord.question(name, kind)
        stream, six = rng.random() < 0.4, rng.random() < 0.33
        if rng.random() < 0.5:
            query.add_ar(dnslib.EDNS0(udp_len=rng.choice((512, 1232, 4096))))
        found.append(Question(name, kind, bytes(query.pack()), stream, six))
    return found


REASONS = {
    "soa": "an SOA asked for at a name that does not exist: NXDOMAIN, where CoreDNS says NODATA",
    "nonterminal": "a name exists where names below it do, or records of other types: NODATA (RFC 8020)",
    "alias": "an ExternalName has its CNAME for every type, and keeps it where its target does not exist",
    "ring": "ExternalNames that lead back to themselves are an error, as RFC 1034 section 3.6.2 asks: SERVFAIL",
    "unnamed": "a port without a name has no name; CoreDNS takes `_` for any port, and for any protocol",
    "below": "the name of an IPv6 address has 32 labels (RFC 3596); CoreDNS has its PTR records up to three below",
    "orphan": "a PTR record leads to a name that exists (RFC 1912 section 2.1)",
    "server": "a zone has a name server (RFC 1034 section 4.2.1), which exists, has each address once (RFC 2181), and "
    "is found in any letter case (RFC 4343)",
    "size": "no reply over UDP is longer than 1232 octets (RFC 9715), and TC says that what was asked for is not whole",
    "passed": "a reverse zone that `fallthrough` names belongs to whom its names are handed on",
    "unserved": "what nothing here serves is refused; CoreDNS says SERVFAIL",
}


def reason(world: Any, name: str, kind: str, ours: Seen, theirs: Seen) -> str:
    """Which of the reasons it is that two replies differ; empty where there is none."""
    name, codes = name.lower(), (ours.rcode, theirs.rcode)
    labels = name.split(".")
    aliases = name in world.aliases
    held = {
        "passed": name.endswith(".arpa") and not ours.aa and theirs.aa,
        "unserved": codes == ("REFUSED", "SERVFAIL") and name == UNSERVED,
        "ring": codes == ("SERVFAIL", "NOERROR") and not theirs.answer and aliases,
        "alias": aliases,
        "soa": kind == "SOA" and codes == ("NXDOMAIN", "NOERROR") and not theirs.answer,
        "unnamed": "_" in labels[:2] and codes == ("NXDOMAIN", "NOERROR"),
        "below": kind == "PTR" and name.endswith(".ip6.arpa") and len(labels) > 34 and not ours.answer,
        "orphan": kind == "PTR" and {*theirs.answer} - {*ours.answer} == {f"{name}. 30 ptr {ORPHANS.get(name)}."},
        "server": name.removeprefix("ns.dns.") in (ZONE, *BACKWARD) and (kind == "NS" or labels[0] == "ns"),
        "size": ours.tc != theirs.tc and kind in ("SRV", "A"),
        "nonterminal": codes == ("NOERROR", "NXDOMAIN") and not ours.answer,
    }
    return next((why for why, holds in held.items() if holds), "")


def test_like_coredns_there_is_no_difference(world: Any, kdns: Callable[..., Any], coredns: Callable[..., Any]) -> None:
    with kdns("--answers=like-coredns") as ours, coredns() as theirs:
        assert compared(world, ours, theirs, QUESTIONS) == set()


def test_otherwise_every_difference_has_a_reason(
    world: Any, kdns: Callable[..., Any], coredns: Callable[..., Any]
) -> None:
    with kdns() as ours, coredns() as theirs:
        found = compared(world, ours, theirs, QUESTIONS)
    assert "passed" not in found
    with kdns(file=KUBEADM) as ours, coredns(file=KUBEADM) as theirs:
        found |= compared(world, ours, theirs, QUESTIONS // 2)
    assert found == set(REASONS), "a reason that explains nothing is to go"


@pytest.mark.parametrize(
    "options",
    [
        *("endpoint_pod_names", "ignore empty_service", "namespaces shop a-b", "pods disabled", "pods verified"),
        *("ttl 7", "fallthrough"),
    ],
)
def test_with_other_lines_in_the_corefile_there_is_no_difference(
    world: Any, kdns: Callable[..., Any], coredns: Callable[..., Any], options: str
) -> None:
    with kdns("--answers=like-coredns", options=options) as ours, coredns(options=options) as theirs:
        assert compared(world, ours, theirs, QUESTIONS // 2) == set()


@pytest.mark.parametrize("options", ["", "fallthrough"])
def test_with_an_upstream_behind_there_is_no_difference(
    world: Any, kdns: Callable[..., Any], coredns: Callable[..., Any], options: str
) -> None:
    with (
        kdns("--answers=like-coredns", options=options, file=KUBEADM) as ours,
        coredns(options=options, file=KUBEADM) as theirs,
    ):
        assert compared(world, ours, theirs, QUESTIONS // 2) == set()


def compared(world: Any, ours: int, theirs: int, count: int) -> set[str]:
    """Ask both on loopback; see `explained`."""
    asked = drawn(world, count)
    mine, others = (asking.replies([each.to(("127.0.0.1", "::1"), port) for each in asked]) for port in (ours, theirs))
    return explained(world, asked, [*map(seen, mine)], [*map(seen, others)])


def explained(world: Any, asked: list[Question], ours: list[Seen], theirs: list[Seen]) -> set[str]:
    """Give the reasons of all differences; one without a reason fails."""
    found = set()
    for question, mine, other in zip(asked, ours, theirs, strict=True):
        if mine == other or (mine.tc and other.tc):
            continue
        why = reason(world, question.name, question.type, mine, other)
        assert why, f"{question}:\n ours {mine}\n CoreDNS {other}"
        found.add(why)
    return found


def test_every_reason_is_told_in_the_reference() -> None:
    told = " ".join((Path(__file__).parents[3] / "docs/reference/conformance.md").read_text().split())
    assert not [reason for reason in REASONS.values() if reason not in told]
