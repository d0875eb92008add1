"""Asks containers how they are: HTTP, TCP and exec probes, from the node to the pod, as a kubelet does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from netnslab.kernel import Namespace
from netnslab.kubelet.podspec import Container, Probe, ProbeKind

_QUICK = 0.05  # seconds until a container that has just started is asked again; doubled each time
_MOST_ANSWER = 10 * 1024  # kubelet reads no more of an HTTP answer either

Execute = Callable[[tuple[str, ...]], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask: a container at a pod's address, from a node; `execute` runs a command in it.

    A `stand_in` has no TLS, no gRPC and none of the image's files, so those probes of it pass.
    """

    node: Namespace
    address: str
    container: Container
    execute: Execute
    executable: Callable[[str], bool]
    stand_in: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one question came to; `passed_over` says why it was not really asked."""

    success: bool
    message: str = ""
    passed_over: str = ""


async def ask(probe: Probe, target: Target) -> Outcome:
    """Ask once. Never raises: whatever a container does instead of answering well is the answer."""
    try:
        async with asyncio.timeout(probe.timeout):
            return await _ask(probe, target)
    except TimeoutError:
        return Outcome(False, f"no answer within {probe.timeout:g} s")
    except (OSError, EOFError) as error:
        return Outcome(False, str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001  # the outermost edge of a question: a watch must not end by an answer
        return Outcome(False, f"{type(error).__name__}: {error}")


async def watch(probe: Probe, target: Target, tell: Callable[[bool, Outcome], None], *, eager: bool) -> None:
    """Ask again and again, and `tell` whenever a threshold is reached: success or failure, and the last outcome.

    An `eager` watch asks a container that has not answered well yet more often than `periodSeconds` says: where a
    failure has no consequence (readiness), nobody needs to wait for a container that is up already. Failures of these
    early questions do not count towards the threshold.
    """
    await asyncio.sleep(probe.initial_delay)
    streak, last, pause = 0, None, _QUICK if eager else probe.period
    while True:
        outcome = await ask(probe, target)
        early = not outcome.success and pause < probe.period
        streak = 0 if early else streak + 1 if outcome.success is last else 1
        last = outcome.success
        if streak == (probe.success_threshold if outcome.success else probe.failure_threshold):
            tell(outcome.success, outcome)
        pause = probe.period if outcome.success else min(pause * 2, probe.period)
        await asyncio.sleep(pause)


async def _ask(probe: Probe, target: Target) -> Outcome:
    if probe.kind is ProbeKind.EXEC:
        return await _exec(probe, target)
    port = target.container.port(probe.port)
    if not 0 < port < 65536:
        return Outcome(False, f"port {probe.port!r} is not one of the container's")
    sock = await _connect(target.node, probe.host or target.address, port)
    with sock:
        if probe.kind is ProbeKind.GRPC:
            return Outcome(True, passed_over=f"gRPC health of port {port} is taken for granted: the port answers")
        if probe.kind is ProbeKind.TCP:
            return Outcome(True)
        if probe.scheme == "HTTPS" and target.stand_in:
            return Outcome(True, passed_over=f"the stand-in has no TLS on port {port}: the port answers")
        return await _http(probe, target, sock, port)


async def _exec(probe: Probe, target: Target) -> Outcome:
    command = " ".join(probe.command)
    if target.stand_in or not probe.command or not target.executable(probe.command[0]):
        return Outcome(True, passed_over=f"the command {command!r} of the image is not here")
    code = await target.execute(probe.command)
    return Outcome(code == 0, f"{command!r} ended with {code}" if code else "")


async def _connect(node: Namespace, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = node.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _http(probe: Probe, target: Target, sock: socket.socket, port: int) -> Outcome:
    tls = _unverified() if probe.scheme == "HTTPS" else None
    name = target.address if tls else None
    reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, limit=_MOST_ANSWER, server_hostname=name)
    try:
        writer.write(_request(probe, target.address, port))
        words = (await reader.readline()).split(None, 2)
    except ValueError:  # no end of the first line, however much is read
        words = []
    finally:
        writer.close()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Outcome(False, "the answer is not HTTP")
    code = int(words[1])
    return Outcome(200 <= code < 400, "" if 200 <= code < 400 else f"HTTP status {code}")


def _request(probe: Probe, address: str, port: int) -> bytes:
    host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    headers = {"Host": host, "User-Agent": "kube-probe/netns-lab", "Accept": "*/*", **dict(probe.headers)}
    lines = [f"GET {probe.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def _unverified() -> ssl.SSLContext:
    """A probe asks whether something answers, not who it is: kubelet verifies no certificate either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
