"""Commands in containers, as Kubernetes' remote command protocols carry them: versions 4 and 5.

Over SPDY each of stdin, stdout, stderr, resize and error is a stream of its own, told apart by its header
`streamType`. Over a WebSocket the first byte of a message says which of them it belongs to. How the command ended is a
Status, sent on `error`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from kapi.errors import StatusError
from kapi.server import statuses
from kapi.server.kubelets import Read, Streams, Write
from kapi.server.streaming.session import Session, Stream

log = logging.getLogger(__name__)

Json = dict[str, Any]
Run = Callable[[Streams], Awaitable[int]]

SPDY_PROTOCOLS = ("v4.channel.k8s.io",)
WEBSOCKET_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_PATIENCE = 10.0  # seconds in which a client opens the streams that it announced
_HELD = 64  # messages of standard input that wait for the command to read them


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a client asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    terminal: bool

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """Read them from a request's parameters. Refuses (400) what no command can be run with."""
        flags = {name: query.get(name) in ("true", "1") for name in ("stdin", "stdout", "stderr", "tty")}
        if not (flags["stdin"] or flags["stdout"] or flags["stderr"]):
            raise statuses.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        return cls(flags["stdin"], flags["stdout"], flags["stderr"] and not flags["tty"], flags["tty"])

    def names(self) -> set[str]:
        """What the streams are called."""
        given = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr, "resize": self.terminal}
        return {"error", *(name for name, wanted in given.items() if wanted)}


async def over_spdy(session: Session, wanted: Wanted, run: Run) -> None:
    """Run a command whose streams the client opens on a SPDY connection."""
    async with asyncio.timeout(_PATIENCE):
        opened = await _opened(session, wanted.names())
    if opened is None:
        return
    resize = opened.get("resize")
    streams = Streams(
        stdin=opened["stdin"].read if wanted.stdin else None,
        stdout=opened["stdout"].write if wanted.stdout else None,
        stderr=opened["stderr"].write if wanted.stderr else None,
        sizes=_Sizes(resize.read).next if resize is not None else None,
        terminal=wanted.terminal,
    )
    await opened["error"].write(json.dumps(await _outcome(run(streams))).encode())
    for stream in opened.values():
        await stream.close()


async def _opened(session: Session, names: set[str]) -> dict[str, Stream] | None:
    """Wait for streams; None when the client goes before it has opened them all."""
    found: dict[str, Stream] = {}
    while set(found) < names:
        stream = await session.accept()
        if stream is None:
            return None
        kind = stream.headers.get("streamtype", "")
        if kind in names:
            found[kind] = stream
    return found


async def over_websocket(socket: web.WebSocketResponse, wanted: Wanted, run: Run) -> None:
    """Run a command whose streams are the channels of a WebSocket."""
    channels = _Channels(socket)
    streams = Streams(
        stdin=channels.stdin if wanted.stdin else None,
        stdout=channels.writer(_STDOUT) if wanted.stdout else None,
        stderr=channels.writer(_STDERR) if wanted.stderr else None,
        sizes=_Sizes(channels.resize).next if wanted.terminal else None,
        terminal=wanted.terminal,
    )
    reading = asyncio.create_task(channels.follow())
    running = asyncio.create_task(_outcome(run(streams)))
    try:
        await asyncio.wait((reading, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            with suppress(ConnectionError):  # the client has gone, and nobody wants to know
                await channels.writer(_ERROR)(json.dumps(running.result()).encode())
    finally:
        for task in (reading, running):  # without its client a command is ended
            task.cancel()
        await asyncio.gather(reading, running, return_exceptions=True)


class _Channels:
    """A WebSocket's messages, by the channel they are for."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._given: asyncio.Queue[bytes] = asyncio.Queue(_HELD)
        self._sizes: asyncio.Queue[bytes] = asyncio.Queue()

    async def stdin(self) -> bytes:
        return await self._given.get()

    async def resize(self) -> bytes:
        return await self._sizes.get()

    def writer(self, channel: int) -> Write:
        async def write(data: bytes) -> None:
            await self._socket.send_bytes(bytes([channel]) + data)

        return write

    async def follow(self) -> None:
        """Take in messages until the client goes; a slow command makes it wait."""
        async for message in self._socket:
            await self._take(message)

    async def _take(self, message: WSMessage) -> None:
        if message.type is not WSMsgType.BINARY or not message.data:
            return
        channel, data = message.data[0], bytes(message.data[1:])
        if channel == _STDIN and data:
            await self._given.put(data)
        elif channel == _RESIZE:
            self._sizes.put_nowait(data)
        elif channel == _CLOSE and data == bytes([_STDIN]):  # version 5: this channel has come to its end
            await self._given.put(b"")


class _Sizes:
    """Sizes of a terminal, from a stream of JSON objects: {"Width": 80, "Height": 24}."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._rest = ""

    async def next(self) -> tuple[int, int] | None:
        """Give the next size; None when no more come."""
        while True:
            try:
                size, used = json.JSONDecoder().raw_decode(self._rest.lstrip())
            except ValueError:
                data = await self._read()
                if not data:
                    return None
                self._rest = (self._rest + data.decode(errors="replace"))[-1000:]
                continue
            self._rest = self._rest.lstrip()[used:]
            return _side(size, "Width"), _side(size, "Height")


def _side(size: Any, name: str) -> int:
    value = size.get(name) if isinstance(size, dict) else None
    return value if isinstance(value, int) and 0 < value < 1 << 16 else 0


async def _outcome(running: Awaitable[int]) -> Json:
    """Tell how a command ended, as a Status."""
    try:
        code = await running
    except StatusError as error:
        return error.status
    except Exception:  # the outermost edge of a command: its client hears of it
        log.exception("a command in a container failed")
        return statuses.internal("the server has a fault; its log says more").status
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
