"""The names of a cluster, case by case: the specification (schema 1.1.0), and what people expect since CoreDNS."""

from __future__ import annotations

from dataclasses import dataclass

import dnslib
import pytest

from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from kdns.chain import Chain, Setup, load
from kdns.responder import Responder
from kdns.settings import Settings
from kdns.testing import HandFed, ask, service

CLUSTER = "cluster.local"
SOA = f"ns.dns.{CLUSTER}. hostmaster.{CLUSTER}. 1700000000 7200 1800 86400 5"


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

SPECIFICATION = [
    Case(f"dns-version.{CLUSTER}", "TXT", data=('"1.1.0"',)),
    svc("web.default", "A", "10.96.0.7"),
    svc("dual.default", "A", "10.96.0.8"),
    svc("dual.default", "AAAA", "fd96::8"),
    svc("_http._tcp.web.default", "SRV", f"0 100 80 {WEB}"),
    svc("_dns._udp.web.default", "SRV", f"0 100 53 {WEB}"),
    missing("_._tcp.plain.default.svc", "SRV", why="an unnamed port has no SRV record of its own"),
    Case("7.0.96.10.in-addr.arpa", "PTR", data=(WEB,)),
    Case(f"8.{'0.' * 27}6.9.d.f.ip6.arpa", "PTR", data=(f"dual.default.svc.{CLUSTER}.",)),
    svc("db.default", "A", "10.244.1.3", "10.244.2.3", why="only ready endpoints"),
    svc("both.default", "A", "10.244.4.1"),
    svc("both.default", "AAAA", "fd44::"),
    svc("eager.default", "A", "10.244.1.9", why="publishNotReadyAddresses"),
    missing("waiting.default.svc", why="headless without ready endpoints, as the specification says"),
    svc("db-0.db.default", "A", "10.244.1.3"),
    svc("10-244-1-9.eager.default", "A", "10.244.1.9"),
    svc("_pg._tcp.db.default", "SRV", f"0 50 15432 db-0.{DB}", f"0 50 15432 db-1.{DB}", why="the endpoints' port"),
    Case("3.1.244.10.in-addr.arpa", "PTR", data=(f"db-0.{DB}",)),
    svc("inside.default", "CNAME", WEB),
    svc("inside.default", "A", WEB, "10.96.0.7"),
    svc("twice.default", "A", f"inside.default.svc.{CLUSTER}.", WEB, "10.96.0.7"),
    svc("outside.default", "A", "db.example.", "10.0.0.5"),
    svc("WEB.Default", "A", "10.96.0.7"),
]

EXPECTED = [
    *(empty(name) for name in (CLUSTER, f"svc.{CLUSTER}", f"pod.{CLUSTER}")),
    *(empty(f"{name}.{CLUSTER}") for name in ("default.svc", "shop.svc", "default.pod", "shop.pod")),
    missing("nothing.svc"),
    missing("nothing.pod"),
    *(svc("web.default", kind) for kind in ("MX", "TXT", "HTTPS", "HINFO", "ANY", "AAAA", "NAPTR")),
    *(missing("gone.default.svc", kind) for kind in ("A", "AAAA", "MX", "TXT", "HTTPS", "ANY", "SRV")),
    missing("_http._udp.web.default.svc", "SRV"),
    missing("_gopher._tcp.web.default.svc", "SRV"),
    svc("web.default", "SRV", f"0 50 80 {WEB}", f"0 50 53 {WEB}"),
    svc("plain.default", "SRV", f"0 100 80 plain.default.svc.{CLUSTER}."),
    svc("dual.default", "SRV", f"0 50 80 dual.default.svc.{CLUSTER}."),
    svc("db.default", "SRV", f"0 50 15432 db-0.{DB}", f"0 50 15432 db-1.{DB}"),
    svc("_http._tcp.web.default", "A", "10.96.0.7"),
    svc("_http._tcp.web.default", "AAAA"),
    svc("_pg._tcp.db.default", "A", "10.244.1.3", "10.244.2.3"),
    svc("10-244-1-2.web.default", "A", "10.244.1.2", why="endpoint names exist below a ClusterIP Service too"),
    svc("10-244-1-2.web.default", "AAAA"),
    svc("empty.default", "A", "10.96.0.11"),
    svc("eager.default", "SRV", why="no ports: NODATA"),
    svc("six.default", "SRV", *(f"0 16 80 10-244-3-{n}.six.default.svc.{CLUSTER}." for n in range(1, 7))),
    svc("both.default", "SRV", f"0 50 80 10-244-4-1.{BOTH}", f"0 50 80 fd44--0.{BOTH}"),
    svc("fd44--0.both.default", "AAAA", "fd44::", why="a name never ends in a hyphen"),
    missing("db-2.db.default.svc", why="not ready"),
    missing("nobody.web.default.svc"),
    Case("1.4.244.10.in-addr.arpa", "PTR", data=(f"10-244-4-1.{BOTH}", f"10-244-4-1.also.default.svc.{CLUSTER}.")),
    Case("99.99.96.10.in-addr.arpa", "PTR", "NXDOMAIN", why="a reverse zone that is served"),
    Case("1.0.0.10.in-addr.arpa", "PTR", "REFUSED", why="elsewhere it is handed on; nothing is behind here"),
    svc("nowhere.default", "A", f"gone.default.svc.{CLUSTER}.", rcode="NXDOMAIN", why="RFC 6604: the end of the chain"),
    missing("below.inside.default.svc"),
    missing("address.default.svc", why="an ExternalName that is an address has no name"),
    Case(f"1-2-3-4.default.pod.{CLUSTER}", data=("1.2.3.4",)),
    Case(f"fd00--1.shop.pod.{CLUSTER}", "AAAA", data=("fd00::1",)),
    empty(f"1-2-3-4.default.pod.{CLUSTER}", "AAAA"),
    empty(f"1-2-3-4.default.pod.{CLUSTER}", "TXT"),
    missing("1-2-3-4.nothing.pod"),
    missing("junk.default.pod"),
    missing("1-2-3.default.pod"),
    missing("1-2-3-4-5.default.pod"),
    missing("x.1-2-3-4.default.pod"),
    Case(CLUSTER, "NS", data=(f"kube-dns.kube-system.svc.{CLUSTER}.",)),
    Case(CLUSTER, "SOA", data=(SOA,)),
    Case(CLUSTER, "AXFR", "REFUSED"),
    Case(f"web.default.svc.{CLUSTER}", "IXFR", "REFUSED"),
    missing("a.b.c.d.e.f.svc"),
    missing("web.default"),
    missing("web"),
    Case("example.com", "A", "REFUSED", why="nothing is forwarded here"),
    Case("db.example", "A", data=("10.0.0.5",)),
    empty("db.example", "AAAA"),
]

# Where CoreDNS and the RFCs (8020, 4592) differ, this server is on the RFCs' side.
BY_THE_RFCS = [
    empty(f"_tcp.web.default.svc.{CLUSTER}", "SRV"),
    *(empty(f"{name}{CLUSTER}", "TXT") for name in ("", "svc.", "default.svc.")),
    missing("gone.default.svc", "SOA"),
    empty("0.96.10.in-addr.arpa", "PTR"),
    empty(f"dns.{CLUSTER}"),
    Case(f"ns.dns.{CLUSTER}", data=("10.244.1.53",)),
    Case("Cluster.LOCAL", "NS", data=(f"kube-dns.kube-system.svc.{CLUSTER}.",)),
]


@pytest.mark.parametrize("case", SPECIFICATION, ids=lambda case: f"{case.name} {case.type}")
async def test_a_row_of_the_specification(chain: Chain, case: Case) -> None:
    await check(chain, case)


@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: f"{case.name} {case.type}")
async def test_what_people_expect_of_a_cluster_dns(chain: Chain, case: Case) -> None:
    await check(chain, case)


@pytest.mark.parametrize("case", BY_THE_RFCS, ids=lambda case: f"{case.name} {case.type}")
async def test_names_without_records_that_have_names_below_them_exist(chain: Chain, case: Case) -> None:
    await check(chain, case)


async def check(chain: Chain, case: Case) -> None:
    reply = await ask(chain, case.name, case.type)
    seen = (reply.header.get_rcode(), sorted(str(record.rdata) for record in reply.rr))
    codes = {"NOERROR": 0, "NXDOMAIN": 3, "REFUSED": 5}
    assert seen == (codes[case.rcode], sorted(case.data)), case.why
    assert str(reply.q.qname) == f"{case.name}.", "the question comes back in the case it was asked"
    if case.rcode == "REFUSED":
        return
    assert reply.header.aa
    assert bool(reply.auth) == (case.rcode == "NXDOMAIN" or not case.data), "a miss says how long it lasts"


async def test_a_miss_carries_the_soa_with_the_time_of_the_last_change(chain: Chain) -> None:
    reply = await ask(chain, f"gone.default.svc.{CLUSTER}")
    assert [(str(r.rname), str(r.rdata), r.ttl) for r in reply.auth] == [(f"{CLUSTER}.", SOA, 5)]


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


async def test_addresses_take_turns_at_the_front(chain: Chain) -> None:
    await ask(chain, f"six.default.svc.{CLUSTER}")
    responder = Responder(chain.lookup)
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
    for name in ("1-2-3-4.default.pod", "default.pod", "pod"):
        assert (await ask(chain, f"{name}.{CLUSTER}")).header.get_rcode() == 3
