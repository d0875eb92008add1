"""The names of a cluster, case by case: the specification (schema 1.1.0), and what people expect since CoreDNS."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dnslib
import pytest

from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kdns.chain import Chain, Setup, load
from kdns.likeness import COREDNS, STANDARD, Likeness
from kdns.responder import Responder
from kdns.settings import Settings
from kdns.testing import HandFed, ask, endpoint_slice, service

CLUSTER = "cluster.local"
SOA = f"ns.dns.{CLUSTER}. hostmaster.{CLUSTER}. 1700000000 7200 1800 86400 5"
REFERENCE = Path(__file__).parents[3] / "docs/reference/kdns.md"


@dataclass(frozen=True)
class Case:
    """A question, its response code, and the data of the answer's records in any order."""

    name: str
    type: str = "A"
    rcode: str = "NOERROR"
    data: tuple[str, ...] = ()
    why: str = ""


def svc(name: str, type: str = "A", *data: str, rcode: str = "NOERROR", why: str = "") -> Case:  # noqa: A002  # DNS' word
    return Case(f"{name}.svc.{CLUSTER}", type, rcode, data, why)


def missing(name: str, type: str = "A", why: str = "") -> Case:  # noqa: A002  # DNS' word
    return Case(f"{name}.{CLUSTER}", type, "NXDOMAIN", (), why)


def empty(name: str, type: str = "A", why: str = "") -> Case:  # noqa: A002  # DNS' word
    return Case(name, type, "NOERROR", (), why)


WEB, DB = f"web.default.svc.{CLUSTER}.", f"db.default.svc.{CLUSTER}."
BOTH = f"both.default.svc.{CLUSTER}."
SIX = tuple(f"0 16 80 10-244-3-{n}.six.default.svc.{CLUSTER}." for n in range(1, 7))

# By the number of the row in the reference. Rows that no single question shows have tests of their own.
CASES = {
    "S1": [Case(f"dns-version.{CLUSTER}", "TXT", data=('"1.1.0"',))],
    "S2": [
        svc("web.default", "A", "10.96.0.7"),
        svc("dual.default", "A", "10.96.0.8"),
        svc("dual.default", "AAAA", "fd96::8"),
    ],
    "S3": [
        svc("_http._tcp.web.default", "SRV", f"0 100 80 {WEB}"),
        svc("_dns._udp.web.default", "SRV", f"0 100 53 {WEB}"),
        missing("_._tcp.plain.default.svc", "SRV", why="an unnamed port has no SRV record of its own"),
    ],
    "S4": [
        Case("7.0.96.10.in-addr.arpa", "PTR", data=(WEB,)),
        Case(f"8.{'0.' * 27}6.9.d.f.ip6.arpa", "PTR", data=(f"dual.default.svc.{CLUSTER}.",)),
    ],
    "S5": [
        svc("db.default", "A", "10.244.1.3", "10.244.2.3", why="only ready endpoints"),
        svc("both.default", "A", "10.244.4.1"),
        svc("both.default", "AAAA", "fd44::"),
        svc("eager.default", "A", "10.244.1.9", why="publishNotReadyAddresses"),
    ],
    "S6": [missing("waiting.default.svc", kind) for kind in ("A", "AAAA", "SRV")],
    "S7": [
        svc("db-0.db.default", "A", "10.244.1.3"),
        svc("10-244-1-9.eager.default", "A", "10.244.1.9"),
        svc("pair.shared.default", "A", "10.244.5.1", "10.244.5.2", why="two endpoints with one hostname"),
        svc("pair.shared.default", "AAAA", "fd44::5"),
        missing("db-2.db.default.svc", why="not ready"),
    ],
    "S8": [
        svc("_pg._tcp.db.default", "SRV", f"0 50 15432 db-0.{DB}", f"0 50 15432 db-1.{DB}", why="the endpoints' port"),
        missing("_._tcp.nameless.default.svc", "SRV"),
    ],
    "S9": [
        Case("3.1.244.10.in-addr.arpa", "PTR", data=(f"db-0.{DB}",)),
        Case("9.1.244.10.in-addr.arpa", "PTR", data=(f"10-244-1-9.eager.default.svc.{CLUSTER}.",)),
    ],
    "S10": [
        svc("inside.default", "CNAME", WEB),
        svc("inside.default", "A", WEB, "10.96.0.7"),
        svc("inside.default", "TXT", WEB),
        svc("twice.default", "A", f"inside.default.svc.{CLUSTER}.", WEB, "10.96.0.7"),
        svc("outside.default", "A", "db.example.", "10.0.0.5"),
        svc("outside.default", "AAAA", "db.example."),
    ],
    "S11": [
        svc("WEB.Default", "A", "10.96.0.7"),
        svc("_HTTP._Tcp.wEb.default", "SRV", f"0 100 80 {WEB}"),
        Case("7.0.96.10.IN-ADDR.ARPA", "PTR", data=(WEB,)),
        Case(f"dNs-vErsion.{CLUSTER.upper()}", "TXT", data=('"1.1.0"',)),
    ],
    "C1": [empty(name) for name in (CLUSTER, f"svc.{CLUSTER}", f"pod.{CLUSTER}", "svc.96.10.in-addr.arpa")],
    "C2": [
        *(empty(f"{name}.{CLUSTER}") for name in ("default.svc", "shop.svc", "default.pod", "shop.pod")),
        *(missing(name) for name in ("nothing.svc", "nothing.pod")),
    ],
    "C3": [
        *(svc("web.default", kind) for kind in ("MX", "TXT", "HTTPS", "HINFO", "ANY", "NAPTR")),
        *(missing("gone.default.svc", kind) for kind in ("A", "AAAA", "MX", "TXT", "HTTPS", "ANY", "SRV")),
    ],
    "C4": [svc("web.default", "AAAA"), svc("10-244-1-2.web.default", "AAAA")],
    "C5": [missing("_http._udp.web.default.svc", "SRV"), missing("_gopher._tcp.web.default.svc", "SRV")],
    "C6": [
        svc("web.default", "SRV", f"0 50 80 {WEB}", f"0 50 53 {WEB}"),
        svc("plain.default", "SRV", f"0 100 80 plain.default.svc.{CLUSTER}."),
        svc("db.default", "SRV", f"0 50 15432 db-0.{DB}", f"0 50 15432 db-1.{DB}"),
        svc("nameless.default", "SRV", f"0 100 7000 10-244-6-1.nameless.default.svc.{CLUSTER}."),
    ],
    "C7": [
        svc("_http._tcp.web.default", "A", "10.96.0.7"),
        svc("_http._tcp.web.default", "AAAA"),
        svc("_pg._tcp.db.default", "A", "10.244.1.3", "10.244.2.3"),
        svc("http.tcp.web.default", "A", "10.96.0.7"),
        svc("_http.tcp.web.default", "SRV", f"0 100 80 {WEB}"),
        svc("http._tcp.web.default", "SRV", f"0 100 80 {WEB}"),
        svc("pg.tcp.db.default", "SRV", f"0 50 15432 db-0.{DB}", f"0 50 15432 db-1.{DB}"),
        svc("pg.tcp.db.default", "A", "10.244.1.3", "10.244.2.3"),
        svc("http.tcp.web.default", "MX"),
        missing("http.udp.web.default.svc", "SRV"),
        missing("x.http.tcp.web.default.svc"),
    ],
    "C8": [
        svc("10-244-1-2.web.default", "A", "10.244.1.2"),
        missing("nobody.web.default.svc"),
        missing("nobody.web.default.svc", "SRV"),
        svc("10-244-1-2.web.default", "SRV", *(f"0 50 {port} 10-244-1-2.{WEB}" for port in (8080, 53))),
        svc("DB-1.db.default", "SRV", f"0 100 15432 db-1.{DB}"),
        svc("pair.shared.default", "SRV", why="no ports: NODATA"),
        svc("fd44--0.both.default", "SRV", f"0 100 80 fd44--0.{BOTH}"),
    ],
    "C9": [
        svc("empty.default", "A", "10.96.0.11"),
        svc("empty.default", "SRV", f"0 100 80 empty.default.svc.{CLUSTER}."),
    ],
    "C10": [
        missing("waiting.default.svc"),
        svc("eager.default", "A", "10.244.1.9"),
        svc("eager.default", "SRV", why="no ports: NODATA"),
        *[svc(f"{port}.numberless.default", "A", "10.244.6.2") for port in ("_all._tcp", "all.tcp")],
        *[svc(f"{at}numberless.default", "SRV") for at in ("", "_all._tcp.")],
    ],
    "C11": [
        svc("six.default", "SRV", *SIX),
        svc("dual.default", "SRV", f"0 50 80 dual.default.svc.{CLUSTER}."),
        svc("both.default", "SRV", f"0 50 80 10-244-4-1.{BOTH}", f"0 50 80 fd44--0.{BOTH}"),
    ],
    "C12": [
        svc("again.default", "A", "10.244.7.1"),
        svc("again.default", "SRV", f"0 50 80 10-244-7-1.again.default.svc.{CLUSTER}.", why="weighed before"),
        Case("1.7.244.10.in-addr.arpa", "PTR", data=(f"10-244-7-1.again.default.svc.{CLUSTER}.",)),
    ],
    "C13": [
        svc("10-244-1-9.eager.default", "A", "10.244.1.9"),
        svc("fd44--0.both.default", "AAAA", "fd44::", why="a name never ends in a hyphen"),
    ],
    "C14": [
        Case("1.4.244.10.in-addr.arpa", "PTR", data=(f"10-244-4-1.{BOTH}", f"10-244-4-1.also.default.svc.{CLUSTER}.")),
        Case(
            "12.0.96.10.in-addr.arpa", "PTR", data=(f"own.default.svc.{CLUSTER}.",), why="the ClusterIP's comes first"
        ),
    ],
    "C15": [
        Case("99.99.96.10.in-addr.arpa", "PTR", "NXDOMAIN", why="a reverse zone that is served"),
        Case("1.0.0.10.in-addr.arpa", "PTR", "REFUSED", why="elsewhere it is handed on; nothing is behind here"),
    ],
    "C16": [
        svc("nowhere.default", "A", f"gone.default.svc.{CLUSTER}.", rcode="NXDOMAIN", why="RFC 6604"),
        svc("inside.default", "SRV", WEB, f"0 50 80 {WEB}", f"0 50 53 {WEB}"),
        missing("below.inside.default.svc"),
        missing("address.default.svc", why="an ExternalName that is an address has no name"),
    ],
    "C18": [
        Case(f"1-2-3-4.default.pod.{CLUSTER}", data=("1.2.3.4",)),
        Case(f"fd00--1.shop.pod.{CLUSTER}", "AAAA", data=("fd00::1",)),
        empty(f"1-2-3-4.default.pod.{CLUSTER}", "AAAA"),
        empty(f"1-2-3-4.default.pod.{CLUSTER}", "TXT"),
        missing("1-2-3-4.nothing.pod"),
        missing("junk.default.pod"),
        missing("1-2-3.default.pod"),
        missing("1-2-3-4-5.default.pod"),
        Case(f"1-2-3-4.default.pod.{CLUSTER}", "SRV", data=(f"0 100 0 1-2-3-4.default.pod.{CLUSTER}.",)),
        Case(f"_x._y.1-2-3-4.default.pod.{CLUSTER}", "SRV", data=(f"0 100 0 1-2-3-4.default.pod.{CLUSTER}.",)),
        Case(f"x.1-2-3-4.default.pod.{CLUSTER}", data=("1.2.3.4",)),
        missing("x.y.z.1-2-3-4.default.pod"),
        Case(f"--ffff-102-304.default.pod.{CLUSTER}", data=("1.2.3.4",), why="IPv4, as IPv6 may write it"),
        missing("fe80--1%1.default.pod", why="an address of one link is nowhere else"),
    ],
    "C20": [
        Case(CLUSTER, "NS", data=(f"kube-dns.kube-system.svc.{CLUSTER}.",)),
        Case("96.10.in-addr.arpa", "NS", data=(f"kube-dns.kube-system.svc.{CLUSTER}.",)),
        Case(f"ns.dns.{CLUSTER}", "A", data=("10.96.0.10",)),
    ],
    "C21": [Case(CLUSTER, "SOA", data=(SOA,))],
    "C23": [
        Case(CLUSTER, "AXFR", "REFUSED"),
        Case(f"web.default.svc.{CLUSTER}", "IXFR", "REFUSED"),
        Case("example.com", "A", "REFUSED", why="nothing is forwarded here"),
    ],
    "C27": [missing("a.b.c.d.e.f.svc"), missing("web.default"), missing("web"), missing("x.y.z")],
    "R1": [empty(f"_tcp.web.default.svc.{CLUSTER}", "SRV"), empty(f"tcp.web.default.svc.{CLUSTER}")],
    "R2": [empty(f"{name}{CLUSTER}", "TXT") for name in ("", "svc.", "default.svc.")],
    "R3": [missing("gone.default.svc", "SOA")],
    "R4": [empty("0.96.10.in-addr.arpa", "PTR")],
    "R5": [empty(f"dns.{CLUSTER}"), Case(f"ns.dns.{CLUSTER}", data=("10.96.0.10",))],
    "R6": [
        Case("Cluster.LOCAL", "NS", data=(f"kube-dns.kube-system.svc.{CLUSTER}.",)),
        Case("ns.dns.Cluster.LOCAL", data=("10.96.0.10",)),
    ],
    "R7": [missing("waiting.default.svc"), missing("10-244-1-9.waiting.default.svc", why="nothing is denied wrongly")],
    "R8": [svc("inside.default", "TXT", WEB)],
    "R9": [svc("nowhere.default", "A", f"gone.default.svc.{CLUSTER}.", rcode="NXDOMAIN")],
    "R10": [svc("ring.default", "A", f"ring.default.svc.{CLUSTER}.", rcode="SERVFAIL")],
    "R11": [missing(f"{port}.web.default.svc", kind) for port in ("_._tcp", "_http._") for kind in ("A", "SRV")],
    "R13": [Case(f"x.8.{'0.' * 27}6.9.d.f.ip6.arpa", "PTR", "NXDOMAIN")],
    "R14": [Case("example.com", "A", "REFUSED")],
    "R18": [Case(f"{last}.0.96.10.in-addr.arpa", "PTR", "NXDOMAIN") for last in (77, 78)],
}

# What CoreDNS says where the RFCs say otherwise, with --answers like-coredns.
LIKE_COREDNS = {
    "R1": [missing("_tcp.web.default.svc", "SRV"), missing("tcp.web.default.svc")],
    "R2": [Case(f"{name}{CLUSTER}", "TXT", "NXDOMAIN") for name in ("", "svc.", "default.svc.")],
    "R3": [empty(f"gone.default.svc.{CLUSTER}", "SOA")],
    "R4": [Case("0.96.10.in-addr.arpa", "PTR", "NXDOMAIN")],
    "R5": [missing("dns"), Case(f"ns.dns.{CLUSTER}", data=("10.96.0.10",)), missing("ns.dns", "PTR")],
    "R6": [
        Case(CLUSTER, "NS", data=(f"kube-dns.kube-system.svc.{CLUSTER}.",)),
        empty("Cluster.LOCAL", "NS"),
        Case("ns.dns.Cluster.LOCAL", rcode="NXDOMAIN"),
        empty("ns.dns.Cluster.LOCAL", "SOA"),
    ],
    "R7": [missing("waiting.default.svc"), missing("10-244-1-9.waiting.default.svc")],
    "R8": [
        *(svc("inside.default", kind) for kind in ("TXT", "SRV", "MX", "ANY")),
        svc("twice.default", "A", f"inside.default.svc.{CLUSTER}.", WEB, "10.96.0.7"),
        svc("twice.default", "CNAME", f"inside.default.svc.{CLUSTER}."),
    ],
    "R9": [
        svc("nowhere.default"),
        svc("inside.default", "AAAA", why="the target has none"),
    ],
    "R10": [svc(name) for name in ("ring.default", "ring-1.default", "into-ring.default", "below.default")],
    "R11": [
        svc("_._tcp.web.default", "SRV", f"0 100 80 {WEB}"),
        svc("_._.web.default", "SRV", f"0 50 80 {WEB}", f"0 50 53 {WEB}"),
        svc("_http._.web.default", "A", "10.96.0.7"),
        svc("_._tcp.nameless.default", "SRV", f"0 100 7000 10-244-6-1.nameless.default.svc.{CLUSTER}."),
        svc("_._.eager.default", "A", "10.244.1.9", why="an endpoint without ports"),
        svc("_._.eager.default", "SRV"),
        missing("_._udp.db.default.svc", "SRV"),
        svc("_._.inside.default", "A", WEB, "10.96.0.7"),
    ],
    "R13": [
        Case(f"{below}.8.{'0.' * 27}6.9.d.f.ip6.arpa", "PTR", data=(f"dual.default.svc.{CLUSTER}.",))
        for below in ("x", "x.y", "x.y.z")
    ]
    + [Case(f"a.x.y.z.8.{'0.' * 27}6.9.d.f.ip6.arpa", "PTR", "NXDOMAIN")],
    "R14": [Case("example.com", "A", "SERVFAIL")],
    "R18": [
        Case("77.0.96.10.in-addr.arpa", "PTR", data=(f"10-96-0-77.orphan.default.svc.{CLUSTER}.",)),
        Case("78.0.96.10.in-addr.arpa", "PTR", data=(f"10-96-0-78.outside.default.svc.{CLUSTER}.",)),
        missing("10-96-0-77.orphan.default.svc"),
    ],
}

OTHERS = [Case("db.example", "A", data=("10.0.0.5",)), empty("db.example", "AAAA")]


def each(rows: dict[str, list[Case]]) -> list[Any]:
    return [pytest.param(case, id=f"{row} {case.name} {case.type}") for row, cases in rows.items() for case in cases]


@pytest.mark.parametrize("case", [*each(CASES), *OTHERS])
async def test_a_row_of_the_reference(chain: Chain, case: Case) -> None:
    await check(chain, case, turns=0)  # the moment everything is known: nothing is compiled but what is asked for
    await check(chain, case)


@pytest.mark.parametrize("case", each(LIKE_COREDNS))
async def test_a_row_where_coredns_says_otherwise_and_that_is_asked_for(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]], case: Case
) -> None:
    chain = load(Setup(replace(settings, answers=COREDNS), lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    await check(chain, case)


def test_every_row_of_the_reference_has_a_case_or_names_its_test() -> None:
    """A row without cases here has, in its last column, the name of the test that shows it."""
    tests = " ".join(file.read_text() for file in Path(__file__).parents[2].rglob("test_*.py"))
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in REFERENCE.read_text().splitlines()
        if re.match(r"\| [SCR]\d+ \|", line)
    ]
    shown = {row[0]: row[-1].strip("`") for row in cells}
    assert CASES.keys() | LIKE_COREDNS.keys() <= shown.keys()
    assert not [row for row, test in shown.items() if row not in CASES and f"def {test}(" not in tests]


async def check(chain: Chain, case: Case, turns: int = 64) -> None:
    reply = await ask(chain, case.name, case.type, turns=turns)
    seen = (reply.header.get_rcode(), sorted(str(record.rdata) for record in reply.rr))
    codes = {"NOERROR": 0, "SERVFAIL": 2, "NXDOMAIN": 3, "REFUSED": 5}
    assert seen == (codes[case.rcode], sorted(case.data)), case.why
    assert str(reply.q.qname) == f"{case.name}.", "the question comes back in the case it was asked"
    if case.rcode in ("REFUSED", "SERVFAIL"):
        return
    assert reply.header.aa
    answered = any(record.rtype == reply.q.qtype for record in reply.rr)
    assert bool(reply.auth) == (case.rcode == "NXDOMAIN" or not answered), "a miss says how long it lasts"


async def test_a_miss_carries_the_soa_with_the_time_of_the_last_change(chain: Chain) -> None:
    reply = await ask(chain, f"gone.default.svc.{CLUSTER}")
    assert [(str(r.rname), str(r.rdata), r.ttl) for r in reply.auth] == [(f"{CLUSTER}.", SOA, 5)]


async def test_the_ttl_is_the_one_asked_for_and_that_of_a_denial_at_most_300_seconds(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]]
) -> None:
    chain = load(Setup(replace(settings, ttl=3600), lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    assert [record.ttl for record in (await ask(chain, f"web.default.svc.{CLUSTER}")).rr] == [3600]
    assert [record.ttl for record in (await ask(chain, f"dns-version.{CLUSTER}", "TXT")).rr] == [28_800]
    (soa,) = (await ask(chain, f"gone.default.svc.{CLUSTER}")).auth
    assert (soa.ttl, str(soa.rdata).split()[-1]) == (300, "3600")


async def test_other_classes_are_refused(chain: Chain) -> None:
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(f"web.default.svc.{CLUSTER}", qclass=3))
    assert (await ask(chain, "", message=bytes(question.pack()))).header.get_rcode() == 5


async def test_a_server_of_no_service_is_ns_dns_and_tells_its_address(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]]
) -> None:
    chain = load(Setup(replace(settings, addresses=(ip_address("192.0.2.53"),)), lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    reply = await ask(chain, CLUSTER, "NS")
    told = [[f"{record.rname} {record.rdata}" for record in section] for section in (reply.rr, reply.ar)]
    assert told == [[f"{CLUSTER}. ns.dns.{CLUSTER}."], [f"ns.dns.{CLUSTER}. 192.0.2.53"]]


@pytest.mark.parametrize("answers", [STANDARD, COREDNS])
async def test_a_server_of_no_address_is_one_unless_as_in_coredns(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]], answers: Likeness
) -> None:
    here = replace(settings, addresses=(), answers=answers)
    chain = load(Setup(here, lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    for zone in (CLUSTER, "96.10.in-addr.arpa"):
        reply = await ask(chain, zone, "NS")
        assert [str(record.rdata) for record in reply.rr] == ([f"ns.dns.{zone}."] if answers is STANDARD else [])


@pytest.mark.parametrize("answers", [STANDARD, COREDNS])
async def test_a_reverse_zone_that_is_passed_on_is_anothers_unless_as_in_coredns(
    source: HandFed, objects: list[dict[str, Any]], answers: Likeness
) -> None:
    here = Settings(passed=("in-addr.arpa",), addresses=(ip_address("10.244.1.53"),), answers=answers)
    chain = load(Setup(here, lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    elsewhere = "REFUSED" if answers is STANDARD else "SERVFAIL"
    for name, kind in (("in-addr.arpa", "A"), ("svc.in-addr.arpa", "A"), ("9.9.9.9.in-addr.arpa", "SOA")):
        await check(chain, Case(name, kind, "NOERROR" if answers is COREDNS else "REFUSED"))
    for name, kind in (("9.9.9.9.in-addr.arpa", "PTR"), ("9.9.in-addr.arpa", "A"), ("7.0.96.10.in-addr.arpa", "A")):
        await check(chain, Case(name, kind, elsewhere))
    await check(chain, Case("7.0.96.10.in-addr.arpa", "PTR", data=(WEB,)))


async def test_in_coredns_a_server_is_called_by_each_slice_that_has_it_and_by_each_headless_endpoint(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]]
) -> None:
    chain = load(Setup(replace(settings, answers=COREDNS), lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    source.put(ENDPOINT_SLICES, endpoint_slice("kube-dns-2", "kube-dns", ["10.244.1.53"], namespace="kube-system"))
    source.put(SERVICES, service("twins", namespace="kube-system"))
    source.put(
        ENDPOINT_SLICES, endpoint_slice("twins-1", "twins", ["10.244.1.53", "10.244.1.54"], namespace="kube-system")
    )
    for zone in (CLUSTER, "96.10.in-addr.arpa"):
        reply = await ask(chain, zone, "NS")
        twins = [f"10-244-1-{n}.twins.kube-system.svc.{zone}." for n in (53, 54)]
        kube_dns = f"kube-dns.kube-system.svc.{zone}."
        assert sorted(str(record.rdata) for record in reply.rr) == sorted([kube_dns, *twins])
        assert sorted(f"{record.rname} {record.rdata}" for record in reply.ar) == sorted(
            [*[f"{kube_dns} 10.96.0.10"] * 2, f"{twins[0]} 10.244.1.53", f"{twins[1]} 10.244.1.54"]
        )


async def test_a_server_behind_a_service_is_called_by_it_with_its_addresses(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]]
) -> None:
    chain = load(Setup(replace(settings, addresses=(ip_address("10.244.1.53"),)), lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    name = f"kube-dns.kube-system.svc.{CLUSTER}."
    for address in ("10.96.0.10", "10.96.0.20"):
        moved = service("kube-dns", namespace="kube-system", ips=[address], ports=["dns:53/UDP"])
        source.put(SERVICES, moved)
        reply = await ask(chain, CLUSTER, "NS")
        assert [str(record.rdata) for record in reply.rr] == [name]
        assert [f"{record.rname} {record.rdata}" for record in reply.ar] == [f"{name} {address}"]


async def test_srv_brings_the_addresses_of_its_targets(chain: Chain) -> None:
    reply = await ask(chain, f"_pg._tcp.db.default.svc.{CLUSTER}", "SRV")
    assert {(str(r.rname), str(r.rdata)) for r in reply.ar} == {
        (f"db-0.{DB}", "10.244.1.3"),
        (f"db-1.{DB}", "10.244.2.3"),
    }


@pytest.mark.parametrize(
    ("asked", "followed"),
    [
        ("ring", ["ring"]),
        ("ring-1", ["ring-2", "ring-3", "ring-1"]),
        ("ring-3", ["ring-1", "ring-2", "ring-3"]),
        ("into-ring", ["ring-1", "ring-2", "ring-3", "ring-1"]),
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT"])
async def test_a_ring_of_aliases_is_an_error_that_shows_each_of_them_once(
    chain: Chain, asked: str, followed: list[str], kind: str
) -> None:
    reply = await ask(chain, f"{asked}.default.svc.{CLUSTER}", kind)
    assert dnslib.RCODE[reply.header.get_rcode()] == "SERVFAIL"
    assert [str(record.rdata) for record in reply.rr] == [f"{name}.default.svc.{CLUSTER}." for name in followed]


async def test_an_alias_to_a_name_nobody_here_resolves_is_given_alone(chain: Chain, source: HandFed) -> None:
    source.put(SERVICES, service("far", external="example.org"))
    reply = await ask(chain, f"far.default.svc.{CLUSTER}")
    assert (reply.header.get_rcode(), [str(r.rdata) for r in reply.rr]) == (0, ["example.org."])


async def test_in_coredns_an_alias_that_leads_out_of_the_cluster_is_told_whatever_becomes_of_it(
    source: HandFed, settings: Settings, objects: list[dict[str, Any]]
) -> None:
    chain = load(Setup(replace(settings, answers=COREDNS), lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    source.put(SERVICES, service("far", external="example.org"))
    for name, kind, target in (("far", "A", "example.org."), ("outside", "AAAA", "db.example.")):
        reply = await ask(chain, f"{name}.default.svc.{CLUSTER}", kind)
        seen = reply.header.get_rcode(), [str(record.rdata) for record in reply.rr], reply.auth
        assert seen == (0, [target], [])


async def test_addresses_take_turns_at_the_front(chain: Chain) -> None:
    await ask(chain, f"six.default.svc.{CLUSTER}")
    responder = Responder(chain)
    question = bytes(dnslib.DNSRecord.question(f"six.default.svc.{CLUSTER}").pack())
    replies = [dnslib.DNSRecord.parse(responder.plain(question)) for _ in range(6)]
    assert len({str(reply.rr[0].rdata) for reply in replies}) == 6
    assert all(len(reply.rr) == 6 for reply in replies)


async def test_before_everything_is_known_nothing_is_denied(source: HandFed, settings: Settings) -> None:
    chain = load(Setup(settings, lambda: 1.0, lambda: 1.0, source))
    web, gone = f"web.default.svc.{CLUSTER}", f"gone.default.svc.{CLUSTER}"
    assert [(await ask(chain, name)).header.get_rcode() for name in (web, gone)] == [2, 2]
    assert (await ask(chain, "7.0.0.10.in-addr.arpa", "PTR")).header.get_rcode() == 2
    source.sync(NAMESPACES)
    source.sync(SERVICES, service("web", ips=["10.96.0.7"]))
    assert [(await ask(chain, name)).header.get_rcode() for name in (web, gone)] == [0, 2]
    assert chain.waiting == ("cluster",)
    source.sync(ENDPOINT_SLICES)
    assert [(await ask(chain, name)).header.get_rcode() for name in (web, gone)] == [0, 3]
    assert not chain.waiting


async def test_pod_names_can_be_disabled(source: HandFed) -> None:
    chain = load(Setup(Settings(pods="disabled"), lambda: 1.0, lambda: 1.0, source))
    source.sync_all([{"kind": "Namespace", "metadata": {"name": "default"}}])
    for name in ("1-2-3-4.default.pod", "default.pod"):
        assert (await ask(chain, f"{name}.{CLUSTER}")).header.get_rcode() == 3
