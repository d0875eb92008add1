"""What one upstream says is believed where it must be: the others lie, are cut, say too much, or are somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dnslib
import pytest
from tests.upstreams import upstream, zone

from kdns.chain import Chain, Setup, load
from kdns.settings import Forwarding, Settings, Upstream
from kdns.testing import ask


def forwarding(settings: Forwarding) -> Chain:
    return load(Setup(Settings(forwards=(settings,), timeout=5.0, cache=None), lambda: 1.0, time.monotonic))


def data(reply: dnslib.DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


async def test_what_lies_is_ignored_until_the_truth_comes() -> None:
    honest = zone("a.example. 60 A 192.0.2.1")

    def liar(query: dnslib.DNSRecord) -> list[bytes]:
        truth = honest(query)[0]
        other = dnslib.DNSRecord.question("b.example").reply()
        other.header.id = query.header.id
        other.add_answer(*dnslib.RR.fromZone("b.example. 60 A 6.6.6.6"))
        wrong_id = bytes((truth[0] ^ 1,)) + truth[1:]
        is_query = truth[:2] + bytes((truth[2] & 0x7F,)) + truth[3:]
        return [b"", b"\0" * 7, wrong_id, is_query, bytes(other.pack()), truth[:-3], truth]

    async with upstream(liar) as fake:
        assert data(await ask(forwarding(Forwarding(upstreams=(fake.place,))), "a.example")) == ["192.0.2.1"]


async def test_what_comes_from_elsewhere_is_not_heard() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:

        def reply(query: dnslib.DNSRecord) -> list[bytes]:
            forged = query.reply()
            forged.add_answer(*dnslib.RR.fromZone("a.example. 60 A 6.6.6.6"))
            elsewhere.sendto(bytes(forged.pack()), ("127.0.0.1", fake.ports[-1]))
            return zone("a.example. 60 A 192.0.2.1")(query)

        async with upstream(reply) as fake:
            assert data(await ask(forwarding(Forwarding(upstreams=(fake.place,))), "a.example")) == ["192.0.2.1"]


async def test_what_is_larger_than_was_asked_for_is_not_believed_but_asked_for_over_tcp() -> None:
    forged = zone(*(f"a.example. 60 A 6.6.6.{n}" for n in range(200)))
    async with upstream(forged, zone("a.example. 60 A 192.0.2.1")) as fake:
        assert data(await ask(forwarding(Forwarding(upstreams=(fake.place,))), "a.example")) == ["192.0.2.1"]


POISON = {
    "ar": "bank.example. 60 A 6.6.6.6",
    "rr": "bank.example. 60 A 6.6.6.6",
    "auth": "example.org. 60 NS ns.evil.example.",
}


@pytest.mark.parametrize("section", POISON)
@pytest.mark.parametrize("first", [True, False])
async def test_records_that_are_not_about_the_question_are_left_out(section: str, first: bool) -> None:
    def reply(query: dnslib.DNSRecord) -> list[bytes]:
        answer = query.reply()
        answer.rr = dnslib.RR.fromZone("a.example. 60 CNAME b.example.\nb.example. 60 A 192.0.2.1")
        answer.auth = dnslib.RR.fromZone("example. 60 NS ns.example.")
        getattr(answer, section).insert(0 if first else 9, dnslib.RR.fromZone(POISON[section])[0])
        return [bytes(answer.pack())]

    async with upstream(reply) as fake:
        told = await ask(forwarding(Forwarding(upstreams=(fake.place,))), "A.example", limit=4096)
    assert [f"{r.rname} {r.rdata}".lower() for r in told.rr] == ["a.example. b.example.", "b.example. 192.0.2.1"]
    assert [f"{r.rname} {r.rdata}" for r in told.auth] == ["example. ns.example."]
    assert not told.ar


async def test_questions_over_tcp_share_a_connection_and_a_closed_one_is_opened_again() -> None:
    async with streams(closing_after=20) as (server, accepted):
        chain = forwarding(Forwarding(upstreams=(server,), tcp=True))
        for _ in range(2):
            replies = await asyncio.gather(*(ask(chain, f"n{n}.example") for n in range(20)))
            assert [data(reply) for reply in replies] == [["192.0.2.1"]] * 20
        assert len(accepted) == 2
        group = cast(Any, chain.plugins[0]).groups[0]
        assert (group.streams.opened, group.streams.reused) == ({server: 2}, {server: 38})
        group.streams.close()


async def test_answers_on_one_connection_may_come_in_any_order_and_one_that_is_wrong_fails_alone() -> None:
    async with streams(shuffled=True) as (server, accepted):
        chain = forwarding(Forwarding(upstreams=(server,), tcp=True))
        asked = asyncio.gather(*(ask(chain, name) for name in ("one.example", "liar.example", "three.example")))
        assert [reply.header.get_rcode() for reply in await asked] == [0, 2, 0]
        assert len(accepted) == 1
        cast(Any, chain.plugins[0]).groups[0].streams.close()


@pytest.fixture
def certified(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for dns.example, and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=dns.example"]
    subprocess.run([*words, "-addext", "subjectAltName=DNS:dns.example"], check=True, capture_output=True)
    return certificate, key


async def test_an_upstream_over_tls_must_show_a_certificate_for_its_name(
    certified: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certified
    monkeypatch.setattr("kdns.streams._tls", lambda: ssl.create_default_context(cafile=str(certificate)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with streams(tls=context) as (server, accepted):
        for name, rcode in (("dns.example", 0), ("other.example", 2)):
            chain = forwarding(Forwarding(upstreams=(replace(server, tls_name=name),)))
            replies = await asyncio.gather(*(ask(chain, f"n{n}.example") for n in range(3)))
            assert [reply.header.get_rcode() for reply in replies] == [rcode] * 3
            cast(Any, chain.plugins[0]).groups[0].streams.close()
    assert len([one for one in accepted if one]) == 1, "one connection, for all three"


@asynccontextmanager
async def streams(
    *, closing_after: int = 1000, shuffled: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Upstream, list[int]]]:
    """An upstream over TCP, and how many questions it has had on each connection."""
    accepted: list[int] = []
    answer = zone(*(f"{name}.example. 60 A 192.0.2.1" for name in ("one", "three", *(f"n{n}" for n in range(20)))))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(0)
        at, waiting = len(accepted) - 1, []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while accepted[at] < closing_after:
                size = int.from_bytes(await reader.readexactly(2), "big")
                query = dnslib.DNSRecord.parse(await reader.readexactly(size))
                accepted[at] += 1
                if str(query.q.qname) == "liar.example.":
                    query.q.qname = dnslib.DNSLabel("one.example")
                waiting += answer(query)
                if not shuffled or len(waiting) == 3:
                    for message in reversed(waiting):
                        writer.write(len(message).to_bytes(2, "big") + message)
                    waiting.clear()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield Upstream("127.0.0.1", server.sockets[0].getsockname()[1]), accepted
        await asyncio.sleep(0.05)  # connections that clients have closed end here, too


async def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    lines = [f"a.example. 60 A 192.0.2.{n}" for n in range(200)]

    def short(query: dnslib.DNSRecord) -> list[bytes]:
        answer = query.reply()
        answer.header.tc = 1
        return [bytes(answer.pack())]

    async with upstream(short, zone(*lines)) as fake:
        reply = await ask(forwarding(Forwarding(upstreams=(fake.place,))), "a.example", limit=65535)
        assert len(reply.rr) == 200
        assert not reply.header.tc
