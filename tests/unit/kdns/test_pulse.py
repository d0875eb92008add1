"""What this server counts of itself: its own health page, its calls of the API, and who gave which answer."""

from __future__ import annotations

import asyncio

import dnslib
from tests.upstreams import upstream, zone

from kdns.calls import Calls
from kdns.chain import Setup, load
from kdns.metrics import plugin_lines
from kdns.pulse import Pulse
from kdns.responder import Responder
from kdns.settings import Caching, Forwarding, Settings


async def test_its_own_health_page_is_asked_and_what_is_not_well_is_a_failure() -> None:
    said = [b"HTTP/1.1 200 OK\r\n\r\nOK\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b""]

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"GET /health HTTP/1.1\r\n"
        writer.write(said.pop(0))
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
        pulse = Pulse(*server.sockets[0].getsockname())
        found = []
        for _ in range(3):
            await pulse.feel()
            found.append(pulse.failures)
    await pulse.feel()  # nobody listens any more
    assert [*found, pulse.failures] == [0, 1, 2, 3]
    lines = [line for _, _, line in pulse.lines()]
    assert "coredns_health_request_duration_seconds_count 4" in lines
    assert "coredns_health_request_failures_total 3" in lines


def test_calls_of_the_api_are_counted_by_how_they_ended() -> None:
    calls = Calls("10.96.0.1:443")
    for status in (200, 200, 0):
        calls.note("GET", status, 0.02)
    lines = [line for _, _, line in calls.lines()]
    name = "coredns_kubernetes_rest_client_request"
    assert f'{name}s_total{{code="200",host="10.96.0.1:443",method="GET"}} 2' in lines
    assert f'{name}s_total{{code="<error>",host="10.96.0.1:443",method="GET"}} 1' in lines
    assert f'{name}_duration_seconds_bucket{{host="10.96.0.1:443",verb="GET",le="0.025"}} 3' in lines


async def test_an_answer_is_told_with_who_gave_it_and_replies_to_other_questions_are_counted() -> None:
    honest = zone("a.example 60 A 192.0.2.1")

    def reply(query: dnslib.DNSRecord) -> list[bytes]:
        other = dnslib.DNSRecord.question("b.example").reply()
        other.header.id = query.header.id
        return [bytes(other.pack()), *honest(query)]

    async with upstream(reply) as server:
        settings = Settings(cluster=False, forwards=(Forwarding(upstreams=(server.place,)),), cache=Caching())
        chain = load(Setup(settings, lambda: 1.0, lambda: 1.0))
        responder = Responder(chain)
        query = bytes(dnslib.DNSRecord.question("a.example").pack())
        waiting = responder.considered(query)
        assert waiting is not None
        assert not isinstance(waiting, bytes)
        responder.reply(waiting, await chain.resolve(waiting))
        authors = [responder.author(query)]
        assert responder.plain(query)
        assert [*authors, responder.author(query)] == ["forward", "cache"]
    lines = [line for _, _, line in plugin_lines(chain.plugins, "dns://:53")]
    assert 'coredns_cache_drops_total{server="dns://:53",zones=".",view=""} 1' in lines
