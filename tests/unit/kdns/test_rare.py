"""What is rare but asked for: rewritten questions, hosts files, search paths walked here, whole zones, cookies."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dnslib
import pytest

from kapi.resources import PODS, SERVICES
from kdns import searchpath
from kdns.chain import Chain, Setup, load
from kdns.corefile.configuration import configuration
from kdns.edns import Options
from kdns.errors import Malformed
from kdns.limiter import Limiter
from kdns.query import Query, parse
from kdns.responder import Responder
from kdns.settings import Hosts, Rewrite, Settings
from kdns.testing import HandFed, ask, endpoint_slice, namespace, service
from kdns.wire import records

Z = "cluster.local"
OBJECTS = [
    namespace("d"),
    namespace("e"),
    service("web", namespace="d", ips=["10.96.0.7"], ports=["http:80"]),
    service("empty", namespace="d", ips=["10.96.0.8"], ports=["http:80"]),
    service("db", namespace="e", ports=["pg:5432"]),
    endpoint_slice(
        "db-1", "db", [{"addresses": ["10.244.1.3"], "targetRef": {"kind": "Pod", "name": "db-xyz"}}], namespace="e"
    ),
    endpoint_slice("web-1", "web", ["10.244.1.4"], namespace="d"),
]


def pod(name: str, address: str, space: str = "d", phase: str = "Running") -> dict[str, Any]:
    status = {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]}
    return {"kind": "Pod", "metadata": {"name": name, "namespace": space, "uid": name}, "spec": {}, "status": status}


def chain_of(**settings: Any) -> tuple[Chain, HandFed]:
    source = HandFed()
    chain = load(Setup(Settings(**settings), lambda: 1.0, time.monotonic, source))
    source.sync_all(OBJECTS)
    source.sync(PODS, pod("client", "10.244.1.9"), pod("old", "10.244.1.8", phase="Succeeded"))
    return chain, source


async def resolved(chain: Chain, name: str, client: str = "", kind: str = "A") -> tuple[str, list[str]]:
    await ask(chain, f"web.d.svc.{Z}")
    query = parse(bytes(dnslib.DNSRecord.question(name, kind).pack()))
    assert query is not None
    asked = Query(query.id, query.flags, query.sent, query.question, client=client)
    answer = chain.lookup(asked.question) or await chain.resolve(asked)
    reply = dnslib.DNSRecord.parse(Responder(chain).reply(asked, answer, 65535))
    return str(dnslib.RCODE.get(reply.header.rcode)), [f"{r.rname} {r.rdata}" for r in reply.rr]


@pytest.mark.parametrize(
    ("rule", "asked", "answer"),
    [
        (Rewrite("name", "exact", "old.example", f"web.d.svc.{Z}"), "old.example", "old.example. 10.96.0.7"),
        (Rewrite("name", "suffix", "example.org", f"d.svc.{Z}"), "web.example.org", "web.example.org. 10.96.0.7"),
        (Rewrite("name", "suffix", ".lan.", f".d.svc.{Z}."), "WEB.lan", "WEB.lan. 10.96.0.7"),
        (Rewrite("name", "prefix", "old-", ""), f"old-web.d.svc.{Z}", f"old-web.d.svc.{Z}. 10.96.0.7"),
        (Rewrite("name", "substring", "staging", "d"), f"web.staging.svc.{Z}", f"web.staging.svc.{Z}. 10.96.0.7"),
        (Rewrite("name", "regex", r"(.*)\.to\.(.*)", f"{{1}}.{{2}}.svc.{Z}"), "web.to.d", "web.to.d. 10.96.0.7"),
        (Rewrite("type", "exact", "ANY", "A"), f"web.d.svc.{Z}", f"web.d.svc.{Z}. 10.96.0.7"),
    ],
)
async def test_a_rewritten_question_is_answered_under_its_own_name(rule: Rewrite, asked: str, answer: str) -> None:
    chain, _ = chain_of(rewrites=(rule,))
    kind = "ANY" if rule.field == "type" else "A"
    assert await resolved(chain, asked, kind=kind) == ("NOERROR", [answer])
    assert await resolved(chain, f"web.d.svc.{Z}") == ("NOERROR", [f"web.d.svc.{Z}. 10.96.0.7"])


async def test_rules_for_answers_and_ttls() -> None:
    srv = Rewrite("name", "suffix", "example", Z, answers=(("value", r"(.*)\.cluster\.local$", "{1}.example"),))
    chain, _ = chain_of(rewrites=(srv, Rewrite("ttl", "exact", f"web.d.svc.{Z}", "77")))
    assert await resolved(chain, "7.0.96.10.in-addr.arpa", kind="PTR") == (
        "NOERROR",
        [f"7.0.96.10.in-addr.arpa. web.d.svc.{Z}."],
    )
    assert (await ask(chain, f"web.d.svc.{Z}")).rr[0].ttl == 77
    assert (await ask(chain, "_http._tcp.web.d.svc.example", "SRV")).rr[0].rdata.target == "web.d.svc.example."


async def test_names_in_answers_are_turned_back_by_themselves() -> None:
    configured = configuration(". {\n rewrite name suffix .lan .cluster.local answer auto\n}", "Corefile", never, {})
    chain, _ = chain_of(rewrites=configured.blocks[0].settings.rewrites)
    reply = await ask(chain, "_http._tcp.web.d.svc.lan", "SRV")
    assert [f"{r.rname} {r.rdata.target}" for r in reply.rr] == ["_http._tcp.web.d.svc.lan. web.d.svc.lan."]
    assert [str(r.rname) for r in reply.ar] == ["web.d.svc.lan."]


def never(pattern: str, importing: str) -> dict[str, str]:
    raise AssertionError(f"{importing} imports {pattern}")


async def test_a_hosts_file_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("192.0.2.1 one.example uno.example # the first\nnonsense\nfd00::1 one.example\n")
    entry = (ip_address("192.0.2.9"), ("nine.example",))
    chain, _ = chain_of(hosts=(Hosts(str(file), (entry,), ttl=9, reload=0.01, fallthrough=True),))
    job = asyncio.get_running_loop().create_task(chain.run())
    assert await resolved(chain, "ONE.example") == ("NOERROR", ["ONE.example. 192.0.2.1"])
    assert await resolved(chain, "one.example", kind="AAAA") == ("NOERROR", ["one.example. fd00::1"])
    assert await resolved(chain, "one.example", kind="MX") == ("NOERROR", [])
    assert await resolved(chain, "nine.example") == ("NOERROR", ["nine.example. 192.0.2.9"])
    names = ["1.2.0.192.in-addr.arpa. one.example.", "1.2.0.192.in-addr.arpa. uno.example."]
    assert await resolved(chain, "1.2.0.192.in-addr.arpa", kind="PTR") == ("NOERROR", names)
    assert (await resolved(chain, "two.example"))[0] == "REFUSED"
    file.write_text("192.0.2.2 two.example\n")
    async with asyncio.timeout(5):
        while (await resolved(chain, "two.example"))[0] != "NOERROR":  # noqa: ASYNC110  # the file is looked at by time
            await asyncio.sleep(0.01)
    assert (await resolved(chain, "one.example"))[0] == "REFUSED"
    job.cancel()


async def test_a_hosts_file_that_is_the_last_word_denies() -> None:
    chain, _ = chain_of(hosts=(Hosts(entries=(), zones=("lan",)),))
    assert (await resolved(chain, "x.lan"))[0] == "NXDOMAIN"
    assert (await resolved(chain, "x.wlan"))[0] == "REFUSED"


async def test_the_search_path_of_a_pod_is_walked_here() -> None:
    chain, source = chain_of(
        pods="verified", autopath=("corp.example",), records=(("a.example", ip_address("192.0.2.1")),)
    )
    asked = f"a.example.d.svc.{Z}"
    assert await resolved(chain, asked, "10.244.1.9") == (
        "NOERROR",
        [f"{asked}. a.example.", "a.example. 192.0.2.1"],
    )
    assert (await resolved(chain, f"db.e.d.svc.{Z}", "10.244.1.9"))[1][1] == f"db.e.svc.{Z}. 10.244.1.3"
    for client in ("10.244.1.8", "10.0.0.1", ""):
        assert (await resolved(chain, asked, client))[0] == "NXDOMAIN", "not a pod that runs"
    assert (await resolved(chain, f"gone.d.svc.{Z}", "10.244.1.9"))[0] == "NXDOMAIN"
    source.put(PODS, pod("client", "10.244.1.9", "e"))
    source.remove(PODS, "d/client")
    assert (await resolved(chain, asked, "10.244.1.9"))[0] == "NXDOMAIN", "the address is another namespace's by now"


async def test_verified_pods_only_have_names_while_they_run() -> None:
    chain, source = chain_of(pods="verified")
    for address, rcode in (("10-244-1-9", "NOERROR"), ("10-244-1-8", "NXDOMAIN"), ("1-2-3-4", "NXDOMAIN")):
        assert (await resolved(chain, f"{address}.d.pod.{Z}"))[0] == rcode
    assert (await resolved(chain, f"10-244-1-9.e.pod.{Z}"))[0] == "NXDOMAIN"
    source.remove(PODS, "d/client")
    assert (await resolved(chain, f"10-244-1-9.d.pod.{Z}"))[0] == "NXDOMAIN"


async def test_endpoints_may_be_called_after_pods_services_without_endpoints_left_out_and_namespaces_chosen() -> None:
    chain, _ = chain_of(pod_names=True, empty_services=False)
    assert (await resolved(chain, f"db-xyz.db.e.svc.{Z}"))[0] == "NOERROR"
    assert (await resolved(chain, f"empty.d.svc.{Z}"))[0] == "NXDOMAIN"
    chosen, _ = chain_of(namespaces=("e",))
    assert (await resolved(chosen, f"db.e.svc.{Z}"))[0] == "NOERROR"
    assert (await resolved(chosen, f"web.d.svc.{Z}"))[0] == "NXDOMAIN"


async def test_what_the_cluster_has_not_may_be_asked_for_elsewhere() -> None:
    name = f"else.d.svc.{Z}"
    chain, _ = chain_of(fallthrough=True)
    assert (await resolved(chain, name))[0] == "REFUSED", "nobody is behind"
    assert (await resolved(chain, f"web.d.svc.{Z}"))[0] == "NOERROR"


async def test_a_whole_zone_is_given_to_those_who_may_have_it() -> None:
    chain, _ = chain_of(transfer_to=("192.0.2.1",))
    await ask(chain, f"web.d.svc.{Z}")
    asked = parse(bytes(dnslib.DNSRecord.question(Z, "AXFR").pack()))
    assert asked is not None
    for client, given in (("192.0.2.1", True), ("192.0.2.2", False)):
        found = await chain.transfer(Query(1, 0, asked.sent, asked.question, client=client))
        assert (found is not None) == given
        if found is not None:
            every = [record for answer in found for record in records(answer, asked.sent)]
            assert (every[0].type, every[-1].type) == (6, 6)
            assert (b"\3web\1d\3svc\7cluster\5local\0", 1) in {(record.owner, record.type) for record in every}


def test_cookies_are_this_servers_the_name_is_told_and_connections_may_idle() -> None:
    question = dnslib.DNSRecord.question("a.b")
    wanted = [dnslib.EDNSOption(10, b"12345678"), dnslib.EDNSOption(11, b""), dnslib.EDNSOption(3, b"")]
    question.add_ar(dnslib.EDNS0(opts=wanted))
    query = parse(bytes(question.pack()))
    assert query is not None
    options = Options(b"secret", lambda: 1.0, "me", 10.0)
    first, again = options.answer(query, stream=True), options.answer(query, stream=True)
    assert first == again
    assert first[4:12] == b"12345678"
    assert len(first) == 28 + 6 + 6
    assert first.endswith(b"\0\3\0\2me")
    assert b"\0\x0b\0\2\0\x64" in first
    assert b"\0\x0b" not in options.answer(query, stream=False)[28:]
    assert Options(b"other", lambda: 1.0).answer(query, stream=False) != first[:28]


def test_a_cookie_shows_where_its_client_is_for_an_hour() -> None:
    now = 1000.0
    options = Options(b"secret", lambda: now)
    shown = replace(with_cookie(options.answer(with_cookie(b"\0\x0a\0\x0812345678"), stream=False)), client="192.0.2.1")
    assert not options.knows(shown), "made for another address"
    first = replace(with_cookie(b"\0\x0a\0\x0812345678"), client="192.0.2.1")
    known = replace(with_cookie(options.answer(first, stream=False)), client="192.0.2.1")
    assert options.knows(known)
    assert not options.knows(first)
    assert not Options(b"other", lambda: now).knows(known)
    now += 3601
    assert not options.knows(known)


def with_cookie(option: bytes) -> Query:
    message = b"\0\1\0\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1" + b"\0\0\x29\4\xd0\0\0\0\0" + len(option).to_bytes(2, "big")
    query = parse(message + option)
    assert query is not None
    return query


@pytest.mark.parametrize("size", [0, 7, 9, 15, 41])
def test_a_cookie_of_a_size_that_there_is_not_is_a_malformed_query(size: int) -> None:
    with pytest.raises(Malformed, match="a cookie has 8 octets"):
        with_cookie(b"\0\x0a" + size.to_bytes(2, "big") + bytes(size))


def test_an_option_that_is_cut_short_is_a_malformed_query() -> None:
    with pytest.raises(Malformed, match="cut short"):
        with_cookie(b"\0\3\0\5abc")


async def test_whole_replies_are_kept_and_the_first_change_voids_them() -> None:
    chain, source = chain_of()
    await ask(chain, f"web.d.svc.{Z}")
    responder = Responder(chain)
    question = bytes(dnslib.DNSRecord.question(f"gone.d.svc.{Z}").pack())
    first, second = (responder.plain(bytes((0, ident)) + question[2:]) for ident in (1, 2))
    assert first is not None
    assert second is not None
    assert (first[2:], second[:2]) == (second[2:], b"\0\2")
    source.put(SERVICES, service("gone", namespace="d", ips=["10.96.0.9"]))
    await ask(chain, f"web.d.svc.{Z}")
    now = responder.plain(question)
    assert now is not None
    assert str(dnslib.DNSRecord.parse(now).rr[0].rdata) == "10.96.0.9"


def test_a_flood_of_one_network_is_slowed_down_and_others_are_not() -> None:
    now = 0.0
    limiter = Limiter(10, lambda: now)
    query = bytes(dnslib.DNSRecord.question("a.b").pack())
    reply = query[:2] + b"\x84\0" + query[4:] + b"x" * 100
    whole = sum(limiter.limited(b"\1\2\3", query, reply) == reply for _ in range(100))
    assert whole == 20
    found = [limiter.limited(b"\1\2\3", query, reply) for _ in range(2)]
    short = next(each for each in found if each is not None)
    assert None in found
    assert (len(short), bool(short[2] & 2)) == (len(query), True)
    assert limiter.limited(b"\1\2\4", query, reply) == reply
    now = 1.0
    assert limiter.limited(b"\1\2\3", query, reply) == reply


def test_what_a_resolver_tries() -> None:
    search = searchpath.suffixes("d", Z)
    assert list(searchpath.tried("web", search)) == [f"web.d.svc.{Z}", f"web.svc.{Z}", f"web.{Z}", "web"]
    assert list(searchpath.tried("web.", search)) == ["web"]
    assert next(searchpath.tried("a.b.c.d.e.f", search)) == "a.b.c.d.e.f"
