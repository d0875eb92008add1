"""A real server asked by a real client, over UDP and TCP, IPv4 and IPv6."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import dnslib
import pytest

from kapi.resources import ENDPOINT_SLICES, SERVICES
from kdns.testing import endpoint_slice, service

Dig = Callable[..., list[str]]
CLUSTER = "cluster.local"


def asked(name: str, kind: str = "A") -> bytes:
    return bytes(dnslib.DNSRecord.question(name, kind).pack())


def framed(message: bytes) -> bytes:
    return struct.pack("!H", len(message)) + message


def connected(running: Any, address: str) -> socket.socket:
    return socket.create_connection((address, running.port), timeout=5)


def read(connection: socket.socket) -> dnslib.DNSRecord:
    with connection.makefile("rb", buffering=0) as stream:
        size = int.from_bytes(exactly(stream, 2), "big")
        return dnslib.DNSRecord.parse(exactly(stream, size))


def exactly(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def test_dig_gets_the_same_over_udp_and_tcp(running: Any, address: str, dig: Dig) -> None:
    for transport in ("+notcp", "+tcp"):
        for edns in ("+edns=0", "+noedns", "+dnssec"):
            options = (transport, edns, "+short")
            assert dig(running.port, f"web.default.svc.{CLUSTER}", *options, server=address) == ["10.96.0.7"]
            assert dig(running.port, "-x", "10.244.1.3", *options, server=address) == [
                f"db-0.db.default.svc.{CLUSTER}."
            ]
            srv = dig(running.port, f"_pg._tcp.db.default.svc.{CLUSTER}", "SRV", *options, server=address)
            assert srv == [f"0 100 5432 db-0.db.default.svc.{CLUSTER}."]
            alias = dig(running.port, f"alias.default.svc.{CLUSTER}", *options, server=address)
            assert alias == [f"web.default.svc.{CLUSTER}.", "10.96.0.7"]


def test_an_answer_too_large_for_udp_comes_over_tcp_by_itself(running: Any, address: str, dig: Dig) -> None:
    name = f"many.default.svc.{CLUSTER}"
    assert len(dig(running.port, name, "+short", server=address)) == 500
    assert 0 < len(dig(running.port, name, "+short", "+ignore", "+noedns", server=address)) < 500


def test_a_change_is_in_the_answers_at_once(running: Any, address: str, dig: Dig) -> None:
    name = f"db.default.svc.{CLUSTER}"
    for last in (4, 5, 6):
        piece = endpoint_slice("db-1", "db", [f"10.244.1.{last}"], ports=["pg:5432"])
        running.call(lambda piece=piece: running.source.put(ENDPOINT_SLICES, piece))
        assert dig(running.port, name, "+short", server=address) == [f"10.244.1.{last}"]
    running.call(lambda: running.source.remove(SERVICES, "default/db"))
    assert dig(running.port, name, "+short", server=address) == []
    running.call(lambda: running.source.put(SERVICES, service("new", ips=["10.96.0.9"])))
    assert dig(running.port, f"new.default.svc.{CLUSTER}", "+short", server=address) == ["10.96.0.9"]


def test_queries_on_one_connection_may_be_sent_before_answers_are_read(running: Any, address: str) -> None:
    names = [f"web.default.svc.{CLUSTER}", f"alias.default.svc.{CLUSTER}", f"gone.default.svc.{CLUSTER}"] * 30
    queries = [dnslib.DNSRecord.question(name) for name in names]
    for ident, query in enumerate(queries):
        query.header.id = ident
    with connected(running, address) as connection:
        connection.sendall(b"".join(framed(bytes(query.pack())) for query in queries))
        replies = {reply.header.id: reply for reply in (read(connection) for _ in queries)}
    assert [str(replies[ident].q.qname) for ident in range(len(names))] == [f"{name}." for name in names]


def test_a_query_may_come_in_pieces(running: Any, address: str) -> None:
    message = framed(asked(f"web.default.svc.{CLUSTER}"))
    with connected(running, address) as connection:
        for at in range(len(message)):
            connection.sendall(message[at : at + 1])
        assert str(read(connection).rr[0].rdata) == "10.96.0.7"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_an_idle_connection_is_closed_and_one_that_speaks_something_else_before_it(running: Any, address: str) -> None:
    with connected(running, address) as idle, connected(running, address) as foreign:
        foreign.sendall(b"\0\5hello")
        assert foreign.recv(1) == b""
        idle.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is open
            idle.recv(1)
        idle.settimeout(10)
        assert idle.recv(1) == b""


def test_connections_beyond_the_limit_are_closed_and_room_comes_back(running: Any, address: str) -> None:
    with ExitStack() as stack:
        first = [stack.enter_context(connected(running, address)) for _ in range(8)]
        for connection in first:
            connection.sendall(framed(asked(f"web.default.svc.{CLUSTER}")))
            read(connection)
        ninth = stack.enter_context(connected(running, address))
        assert ninth.recv(1) == b""
    deadline = time.monotonic() + 5
    while True:
        try:
            with connected(running, address) as again:
                again.sendall(framed(asked(f"web.default.svc.{CLUSTER}")))
                assert read(again).rr
                return
        except (EOFError, OSError):
            assert time.monotonic() < deadline


def test_nonsense_from_many_sides_changes_nothing_for_others(running: Any, address: str, dig: Dig) -> None:
    rng = random.Random(1)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for _ in range(2000):
            sender.sendto(rng.randbytes(rng.randrange(64)), (address, running.port))
    for _ in range(20):
        with connected(running, address) as connection:
            connection.sendall(rng.randbytes(rng.randrange(200)))
    assert dig(running.port, f"web.default.svc.{CLUSTER}", "+short", server=address) == ["10.96.0.7"]
