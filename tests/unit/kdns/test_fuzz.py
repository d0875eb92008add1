"""Queries that were valid once, spoilt in every way: each is answered as it deserves, and nothing grows."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address
from typing import Any

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdns.chain import Chain, Setup, load
from kdns.query import Query
from kdns.responder import Responder
from kdns.settings import Caching, Forwarding, Hosts, Rewrite, Settings, Upstream
from kdns.testing import HandFed, ask

Z = "cluster.local"
NAMES = [
    f"web.default.svc.{Z}", f"gone.default.svc.{Z}", f"_http._tcp.six.default.svc.{Z}", f"http.tcp.web.default.svc.{Z}",
    f"1-2-3-4.default.pod.{Z}", f"twice.default.svc.{Z}", f"ring-1.default.svc.{Z}", f"outside.default.svc.{Z}",
    "7.0.96.10.in-addr.arpa", Z, "old.example", "nine.example", "elsewhere.example", ".",
]  # fmt: skip
TYPES = ["A", "AAAA", "SRV", "PTR", "TXT", "SOA", "NS", "ANY", "AXFR", "CNAME", "HTTPS"]
ALLOWED = {0, 1, 2, 3, 4, 5}  # response codes


def message(name: str, kind: str, payload: int, options: bytes) -> bytes:
    question = dnslib.DNSRecord(
        dnslib.DNSHeader(id=7, rd=1), q=dnslib.DNSQuestion(name, int(dnslib.QTYPE.reverse[kind]))
    )
    if payload >= 0:
        question.add_ar(dnslib.EDNS0(udp_len=payload, opts=[dnslib.EDNSOption(10, options)] if options else []))
    return bytes(question.pack())


valid = st.builds(
    message,
    st.sampled_from(NAMES),
    st.sampled_from(TYPES),
    st.sampled_from([-1, 0, 512, 1232, 65535]),
    st.sampled_from([b"", b"12345678", b"123", bytes(24)]),
)
spoiling = st.lists(
    st.tuples(
        st.integers(0, 200), st.sampled_from(["set", "cut", "insert", "repeat"]), st.binary(min_size=1, max_size=9)
    ),
    max_size=5,
)


def spoilt(data: bytes, steps: list[tuple[int, str, bytes]]) -> bytes:
    for place, how, given_ in steps:
        at = place % (len(data) + 1)
        if how == "set":
            data = data[:at] + given_ + data[at + len(given_) :]
        elif how == "cut":
            data = data[:at]
        elif how == "insert":
            data = data[:at] + given_ + data[at:]
        else:
            data += data[at:]
    return data


queries = st.builds(spoilt, valid, spoiling)


@pytest.fixture(scope="module")
def loop() -> Any:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def whole(loop: Any, objects: list[dict[str, Any]]) -> Any:
    """A chain of every plug-in there is, over the cluster in which every kind of name occurs."""
    return loop.run(made(objects))


async def made(objects: list[dict[str, Any]]) -> Chain:
    nobody = Forwarding(upstreams=(Upstream("127.0.0.1", 1),))
    settings = Settings(
        records=(("db.example", ip_address("10.0.0.5")),),
        hosts=(Hosts(entries=((ip_address("192.0.2.9"), ("nine.example",)),), fallthrough=True),),
        rewrites=(Rewrite("name", "exact", "old.example", f"web.default.svc.{Z}"),),
        forwards=(nobody,),
        cache=Caching(entries=50, denied_entries=50),
        timeout=0.01,
    )
    source = HandFed()
    chain = load(Setup(settings, lambda: 1.0, time.monotonic, source))
    source.sync_all(objects)
    await ask(chain, f"web.default.svc.{Z}")
    return chain


async def replied(chain: Chain, responder: Responder, data: bytes) -> bytes | None:
    found = responder.plain(data) or responder.considered(data, 0, "192.0.2.1")
    return responder.reply(found, await chain.resolve(found)) if isinstance(found, Query) else found


@settings(max_examples=1500)
@given(data=queries)
def test_whatever_is_asked_is_answered_as_it_deserves(whole: Chain, loop: Any, data: bytes) -> None:
    reply = loop.run(replied(whole, Responder(whole), data))
    if reply is None:
        assert len(data) < 12 or data[2] & 0x80, "only what is no query at all gets nothing"
        return
    assert reply[:2] == data[:2]
    assert reply[2] & 0x80
    assert reply[3] & 15 in ALLOWED
    assert len(reply) <= 1232
    if reply[3] & 15 in {1, 4, 5}:
        assert len(reply) <= len(data), "what is refused is never amplified"
    if data[12 : name_end(data)].isascii():  # dnslib reads no others
        dnslib.DNSRecord.parse(reply)


def name_end(data: bytes) -> int:
    """Where the labels of the question's name end: a zero octet may stand in one of them, too."""
    at = 12
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at


@settings(max_examples=40)
@given(many=st.lists(st.text("abcdefghij", min_size=3, max_size=20), min_size=50, max_size=50))
def test_no_flood_of_names_makes_anything_grow_without_bound(whole: Chain, loop: Any, many: list[str]) -> None:
    responder = Responder(whole)
    responder._prepared = dict.fromkeys((str(n).encode() for n in range(16_384)), b"")
    for name in many:
        loop.run(replied(whole, responder, message(f"{name}.default.svc.{Z}", "A", 1232, b"")))
        loop.run(replied(whole, responder, message(f"{name}.example", "A", 1232, b"")))
    assert len(responder._prepared) <= 16_384
    cache = next(plugin for plugin in whole.plugins if plugin.name == "cache")
    assert max(cache.sizes) <= 50  # type: ignore[attr-defined]
