"""TLS under the requests: however its bytes come, whoever ends first, and whatever is no TLS at all."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.kernel.kingress.conftest import HOST, reply

GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode()
POST = f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {{}}\r\n\r\n"


class Client:
    """A client that decides itself when which bytes of TLS are sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ssl._create_unverified_context().wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)

    async def shake_hands(self, piece: int = 1 << 20) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.send(piece)
                await self._take()
        await self.send(piece)

    async def send(self, piece: int = 1 << 20) -> None:
        """Send what TLS has written, in pieces that come apart."""
        data = self._outgoing.read()
        for start in range(0, len(data), piece):
            self.writer.write(data[start : start + piece])
            await self.writer.drain()
            if piece < len(data):
                await asyncio.sleep(0)

    async def _take(self) -> None:
        data = await asyncio.wait_for(self._reader.read(65536), 5)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def read(self) -> bytes:
        """Read until the other side says that nothing more comes. Raises where it only hangs up."""
        found = b""
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._take()
                continue
            if not data:
                return found
            found += data

    async def ask(self, data: bytes) -> bytes:
        self.tls.write(data)
        await self.send()
        return await self.read()


@pytest.fixture
async def client(shop: Any, signed: Any) -> AsyncIterator[Client]:
    """A client of a live ingress whose host has a certificate; it has not said anything."""
    live, _ = shop
    certificate, key = signed(HOST)
    live.ingress("web", [(HOST, "Prefix", "/", "web")], tls=[{"secretName": "c", "hosts": [HOST]}])
    live.secret("c", tls_crt=certificate, tls_key=key)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.tls_port)
    yield Client(reader, writer)
    writer.transport.abort()


async def test_it_may_come_byte_by_byte(client: Client) -> None:
    await client.shake_hands(1)
    client.tls.write(GET + b"Connection: close\r\n\r\n")
    await client.send(1)
    assert (await client.read()).endswith(b"\r\n\r\nok")


async def test_many_requests_in_one_packet_are_answered_in_order_and_the_end_is_said(client: Client) -> None:
    await client.shake_hands()
    for _ in range(20):
        client.tls.write(GET + b"\r\n")
    answers = await client.ask(GET + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200 OK") == 21


async def test_bodies_larger_than_any_buffer_go_both_ways(shop: Any, client: Client) -> None:
    async def answer(seen: Any, _: Any) -> bytes:
        return reply(seen.body)

    shop[1].answer = answer
    body = bytes(range(256)) * 4096
    await client.shake_hands()
    client.tls.write(POST.format(len(body)).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
    for start in range(0, len(body), 65536):
        client.tls.write(body[start : start + 65536])
        await client.send()
    assert (await client.read()).partition(b"\r\n\r\n")[2] == body


async def test_an_answer_before_the_end_of_the_body_is_seen(shop: Any, client: Client) -> None:
    shop[0].ingress(
        "web", [(HOST, "Prefix", "/", "web")], {"body-limit": "1k"}, tls=[{"secretName": "c", "hosts": [HOST]}]
    )
    await client.shake_hands()
    client.tls.write(POST.format(100_000).encode() + b"a" * 50_000)
    await client.send()
    reading = asyncio.create_task(client.read())
    assert (await reading).startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_hangs_up_is_gone(shop: Any, client: Client, patient: asyncio.Event) -> None:
    live, web = shop
    await client.shake_hands()
    client.tls.write(GET + b"\r\n")
    await client.send()
    await live.until(lambda: web.requests)
    client.writer.transport.abort()
    await live.until(lambda: not live.gateway.clients and not live.gateway.upstreams.connections)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", GET + b"\r\n", b"\0" * 9])
async def test_what_is_no_handshake_is_not_waited_for(start: Any, sent: bytes) -> None:
    live = await start(head_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", live.tls_port)
    writer.write(sent)
    with contextlib.suppress(ConnectionError):
        assert b"HTTP" not in await asyncio.wait_for(reader.read(), 3)
    assert not live.gateway.clients
    writer.close()


async def test_a_record_that_was_altered_ends_the_connection_and_reaches_nobody(shop: Any, client: Client) -> None:
    live, web = shop
    await client.shake_hands()
    client.tls.write(GET + b"\r\n")
    record = bytearray(client._outgoing.read())
    record[-1] ^= 1
    client.writer.write(record)
    await live.until(lambda: not live.gateway.clients)
    assert web.requests == []
