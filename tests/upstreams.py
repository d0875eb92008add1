"""Upstream name servers on loopback, honest and not, for tests of who asks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dnslib
from tests.ports import unused_port

from kdns.settings import Upstream

Reply = Callable[[dnslib.DNSRecord], list[bytes]]


def zone(*records: str) -> Reply:
    """Answer from master-file lines."""
    known = [record for line in records for record in dnslib.RR.fromZone(line)]

    def reply(query: dnslib.DNSRecord) -> list[bytes]:
        answer = query.reply()
        here = [r for r in known if r.rname == query.q.qname]
        answer.rr = [r for r in here if r.rtype == query.q.qtype]
        if not answer.rr:
            answer.auth = dnslib.RR.fromZone("example. 60 SOA ns.example. root.example. 1 2 3 60 4")
        answer.header.rcode = 0 if here else 3
        return [bytes(answer.pack())]

    return reply


@dataclass
class Fake(asyncio.DatagramProtocol):
    """An upstream on loopback; `reply` says what it sends for a query over UDP, `stream` over TCP."""

    reply: Reply
    stream: Reply | None = None
    asked: list[dnslib.DNSRecord] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    transport: asyncio.DatagramTransport | None = None
    port: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self.transport is not None
        query = dnslib.DNSRecord.parse(data)
        self.asked.append(query)
        self.ports.append(addr[1])
        for message in self.reply(query):
            self.transport.sendto(message, addr)

    async def serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.stream is not None
        size = int.from_bytes(await reader.readexactly(2), "big")
        for message in self.stream(dnslib.DNSRecord.parse(await reader.readexactly(size))):
            writer.write(len(message).to_bytes(2, "big") + message)
        await writer.drain()
        writer.close()

    @property
    def place(self) -> Upstream:
        return Upstream("127.0.0.1", self.port)


@asynccontextmanager
async def upstream(reply: Reply, stream: Reply | None = None) -> AsyncIterator[Fake]:
    loop = asyncio.get_running_loop()
    transport, fake = await loop.create_datagram_endpoint(
        lambda: Fake(reply, stream), local_addr=("127.0.0.1", unused_port())
    )
    server = await asyncio.start_server(fake.serve_stream, "127.0.0.1", fake.port) if stream else None
    try:
        yield fake
    finally:
        transport.close()
        if server:
            server.close()
