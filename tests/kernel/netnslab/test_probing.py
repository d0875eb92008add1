from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from netnslab.kernel import Namespace
from netnslab.kubelet import probing
from netnslab.kubelet.podspec import Container, Probe, ProbeKind
from netnslab.kubelet.probing import Outcome, Target
from netnslab.steps import Up

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(namespace: Namespace, answer: bytes) -> AsyncIterator[int]:
    """A server that gives one answer to whoever asks; the port."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    namespace.apply([Up("lo")])
    with namespace.entered():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def target(namespace: Namespace) -> Target:
    async def execute(_: tuple[str, ...]) -> int:
        raise RuntimeError("nothing can be executed")

    return Target(namespace, "127.0.0.1", Container("main", "x"), execute, lambda _: True, stand_in=False)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Outcome(True)),
        (b"HTTP/1.1 503 Unavailable\r\n\r\n", Outcome(False, "HTTP status 503")),
        (b"x" * 200_000, Outcome(False, "the answer is not HTTP")),
        (b"250 welcome\r\n", Outcome(False, "the answer is not HTTP")),
        (b"HTTP/1.1 \xff\xfe\r\n", Outcome(False, "the answer is not HTTP")),
    ],
)
async def test_whatever_a_server_answers_is_an_outcome(namespace: Namespace, answer: bytes, outcome: Outcome) -> None:
    async with serving(namespace, answer) as port:
        assert await probing.ask(Probe(ProbeKind.HTTP, port), target(namespace)) == outcome


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (Probe(ProbeKind.TCP, 80, host="a..b"), "Unicode"),
        (Probe(ProbeKind.TCP, 80, host="a\0b"), "null"),
        (Probe(ProbeKind.TCP, "no-such-name"), "is not one of the container's"),
        (Probe(ProbeKind.EXEC, command=("true",)), "RuntimeError: nothing can be executed"),
    ],
)
async def test_a_question_that_cannot_be_asked_is_a_failure_that_says_why(
    namespace: Namespace, probe: Probe, words: str
) -> None:
    outcome = await probing.ask(probe, target(namespace))
    assert not outcome.success
    assert words in outcome.message


async def test_a_watch_goes_on_after_an_answer_that_nobody_expected(namespace: Namespace) -> None:
    told: asyncio.Queue[Outcome] = asyncio.Queue()
    probe = Probe(ProbeKind.TCP, 80, host="a..b", period=0.01, failure_threshold=2)
    watch = asyncio.create_task(
        probing.watch(probe, target(namespace), lambda _, outcome: told.put_nowait(outcome), eager=False)
    )
    async with asyncio.timeout(15):
        assert not (await told.get()).success
    assert not watch.done()
    watch.cancel()
