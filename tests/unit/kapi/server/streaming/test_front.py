"""Which requests for another protocol are taken, and what is said to the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest

from kapi.resources import PODS
from kapi.server import Settings
from kapi.server.kubelets import Pipe, Streams
from kapi.testing import Served, serving

POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
EXEC = "/api/v1/namespaces/default/pods/p/exec"
SPDY = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
V4 = {**SPDY, "X-Stream-Protocol-Version": "v4.channel.k8s.io"}


class Kubelets:
    """Commands that turn what they read into capitals, and say where they ran."""

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams) -> int:
        assert streams.stdout is not None
        await streams.stdout(f"{namespace}/{pod}/{container} {' '.join(command)}\n".encode())
        while streams.stdin is not None and (data := await streams.stdin()):
            await streams.stdout(data.upper())
        if streams.sizes is not None:
            await streams.stdout(repr(await streams.sizes()).encode())
        return len(command)

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> int:
        raise RuntimeError("a fault")

    async def connect(self, namespace: str, pod: str, port: int) -> Pipe:
        raise OSError(111, "Connection refused")

    async def follow(self, namespace: str, pod: str, container: str) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(settings=Settings(kubelets=Kubelets())) as server:
        await server.client.create(PODS, POD)
        yield server


async def channels(served: Served, path: str, *sent: bytes, version: str = "v5") -> dict[int, bytes]:
    """Talk over a WebSocket until it ends; what came, by channel."""
    came: dict[int, bytes] = {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(served.url + path, protocols=(f"{version}.channel.k8s.io",)) as socket,
    ):
        for data in sent:
            await socket.send_bytes(data)
        async for message in socket:
            came[message.data[0]] = came.get(message.data[0], b"") + message.data[1:]
    return came


async def test_channels_carry_a_command_and_a_status_tells_its_exit_code(served: Served) -> None:
    path = f"{EXEC}?command=a&command=b&stdin=1&stdout=1&tty=1"
    size = json.dumps({"Width": 90, "Height": 33}).encode()
    came = await channels(served, path, b"\x00hello", b"\x04" + size, b"\xff\x00")
    assert came[1] == b"default/p/c a b\nHELLO(90, 33)"
    status = json.loads(came[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "2"}]


async def test_a_fault_is_told_to_the_client(served: Served) -> None:
    came = await channels(served, EXEC.replace("exec", "attach") + "?stdout=1", version="v4")
    assert "the server has a fault" in json.loads(came[3])["message"]


@pytest.mark.parametrize(
    ("path", "headers", "code", "words"),
    [
        (f"{EXEC}?command=a&stdout=1", {}, 400, "Upgrade request required"),
        (f"{EXEC}?stdout=1", V4, 400, "you must specify a command"),
        (f"{EXEC}?command=a", V4, 400, "at least 1 of stdin, stdout, stderr"),
        (f"{EXEC}?command=a&stdout=1", SPDY, 403, "the client offers []"),
        (f"{EXEC}?command=a&stdout=1", {**V4, "Upgrade": "h2c"}, 400, "only to SPDY/3.1 or websocket"),
        (f"{EXEC}?command=a&stdout=1", {**V4, "Origin": "http://elsewhere.example"}, 403, "elsewhere.example"),
        (EXEC.replace("/p/", "/q/") + "?command=a&stdout=1", V4, 404, 'pods "q" not found'),
        ("/api/v1/namespaces/default/services/p/exec", V4, 404, "could not find"),
    ],
)
async def test_a_request_that_cannot_be_taken_is_refused_with_a_status(
    served: Served, path: str, headers: dict[str, str], code: int, words: str
) -> None:
    async with aiohttp.ClientSession() as session, session.post(served.url + path, headers=headers) as answer:
        told: dict[str, Any] = await answer.json()
        assert (answer.status, words in told["message"]) == (code, True), told


async def test_without_kubelets_there_is_nothing_to_connect_to() -> None:
    async with serving() as server, aiohttp.ClientSession() as session:
        await server.client.create(PODS, POD)
        async with session.post(f"{server.url}{EXEC}?command=a&stdout=1", headers=V4) as answer:
            assert answer.status == 400
            assert "no kubelet is connected" in (await answer.json())["message"]


async def test_bytes_that_are_no_spdy_end_the_connection_and_nothing_else(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "".join(f"{name}: {value}\r\n" for name, value in V4.items())
    writer.write(f"POST {EXEC}?command=a&stdout=1 HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 0\r\n\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"X-Stream-Protocol-Version: v4.channel.k8s.io" in answer
    writer.write(b"\x80\x02\x00\x01\x00\x00\x00\x04nope")
    assert await reader.read() == b""
    writer.close()
    await served.http.get(PODS, "p", "default")


async def test_a_log_that_is_followed_comes_piece_by_piece(served: Served) -> None:
    path = PODS.path("default", "p", "log") + "?follow=true&tailLines=5&timestamps=true"
    async with aiohttp.ClientSession() as session, session.get(served.url + path) as answer:
        assert await answer.read() == b"one\ntwo\n"
        assert "no times" in answer.headers["Warning"]
