from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_interface
from pathlib import Path
from types import SimpleNamespace

import pytest

from netnslab.child import Program
from netnslab.errors import LabError
from netnslab.kernel import Namespace
from netnslab.kubelet.standin import Control
from netnslab.processes import Processes
from netnslab.steps import Assign, Up

PORTS = [("tcp", 8080), ("udp", 5353)]


@pytest.fixture
async def echo(processes: Processes, namespace: Namespace, log: Path) -> AsyncIterator[SimpleNamespace]:
    """An echo server in a namespace with an address of each family, and the line to it."""
    namespace.apply(
        [Up("lo"), Assign("lo", ip_interface("192.0.2.1/32")), Assign("lo", ip_interface("2001:db8::1/128"))]
    )
    control = Control()
    argv = ["echo", "--pod=web-1", "--namespace=shop", "--node=worker-1", "--control-fd=3"]
    program = Program(argv, entry="netnslab.echo:main", log=str(log), extra=1)
    process = await processes.start(program, [namespace.fd, control.theirs.fileno()])
    control.theirs.close()
    assert await control.listen(PORTS) == []
    yield SimpleNamespace(process=process, control=control, namespace=namespace)
    await process.stop(2)
    control.close()


async def conversation(namespace: Namespace, address: str, port: int, *said: bytes) -> bytes:
    """Say things on a TCP connection, then give all that came back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    loop = asyncio.get_running_loop()
    answer = b""
    with namespace.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (address, port))
        for words in said:
            await loop.sock_sendall(sock, words)
            await asyncio.sleep(0.01)
        sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(15):
            while data := await loop.sock_recv(sock, 1 << 16):
                answer += data
    return answer


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"])
async def test_it_tells_who_was_asked_by_whom_for_what(echo: SimpleNamespace, address: str) -> None:
    answer = await conversation(echo.namespace, address, 8080, b"GET /cart?x=1 HTTP/1.1\r\nHost: shop\r\n\r\n")
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    lines = body.splitlines()
    assert lines[:3] == ["pod: web-1", "namespace: shop", "node: worker-1"]
    assert lines[3].startswith(f"client: [{address}]:" if ":" in address else f"client: {address}:")
    assert "request: GET /cart?x=1 HTTP/1.1" in lines
    assert "header: Host: shop" in lines


@pytest.mark.parametrize(
    "said",
    [b"hello\n", b"*1\r\n$4\r\nPING\r\n", b"\x00\x01\x02", b"GETAWAY", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ids=["text", "redis", "bytes", "almost HTTP", "HTTP/2"],
)
async def test_what_is_not_http_1_comes_back(echo: SimpleNamespace, said: bytes) -> None:
    assert await conversation(echo.namespace, "127.0.0.1", 8080, said) == said


async def test_one_connection_carries_several_requests_however_they_are_cut(echo: SimpleNamespace) -> None:
    request = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    whole = request + request
    answer = await conversation(echo.namespace, "127.0.0.1", 8080, whole[:7], whole[7:50], whole[50:])
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"\nabc") == 2


async def test_a_large_answer_waits_for_a_slow_reader(echo: SimpleNamespace) -> None:
    data = bytes(3 << 20)
    sending = conversation(echo.namespace, "127.0.0.1", 8080, b"\0", data)
    assert len(await sending) == len(data) + 1


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
async def test_udp_is_answered_with_the_pods_name_from_the_address_that_was_asked(
    echo: SimpleNamespace, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with echo.namespace.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((address, 5353))
        sock.send(b"question")
        answer = sock.recv(1000).decode()
    assert answer.startswith("pod: web-1\nclient: ")
    assert answer.endswith("\n\nquestion")


async def test_ports_can_be_added_and_a_taken_one_is_complained_about(echo: SimpleNamespace) -> None:
    with echo.namespace.socket(socket.AF_INET6, socket.SOCK_STREAM) as taken:
        taken.bind(("::", 7001))
        taken.listen()
        complaints = await echo.control.listen([("tcp", 7000), ("tcp", 7001), *PORTS])
    assert len(complaints) == 1
    assert complaints[0].startswith("failed tcp 7001: ")
    assert await conversation(echo.namespace, "127.0.0.1", 7000, b"here") == b"here"


async def test_it_goes_on_serving_for_a_moment_after_sigterm(echo: SimpleNamespace) -> None:
    stopping = asyncio.create_task(echo.process.stop(5))
    answer = b""
    while b"Connection: close" not in answer:  # it takes a moment until the signal has arrived
        answer = await conversation(echo.namespace, "127.0.0.1", 8080, b"GET / HTTP/1.1\r\nConnection: x\r\n\r\n")
    assert await stopping == 0


async def test_the_end_of_the_echo_server_is_told_to_who_waits_for_ports(echo: SimpleNamespace) -> None:
    await echo.process.stop(0)
    with pytest.raises((LabError, ConnectionError)):
        await echo.control.listen([("tcp", 9999)])
