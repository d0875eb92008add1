"""The streams of one SPDY connection, which the client opens and both sides use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from kapi.server.streaming import spdy

Write = Callable[[bytes], Awaitable[None]]

_MOST_HELD = 1 << 20  # bytes that nobody has read yet: beyond it the client has to wait


class Stream:
    """One stream. `headers` are the client's, by lower-case name."""

    def __init__(self, session: Session, opened: spdy.Opened) -> None:
        self.headers = opened.headers
        self._session = session
        self._number = opened.stream
        self._pieces: list[bytes] = []
        self._arrived = asyncio.Event()
        self._ended = opened.last
        self._closed = False

    async def read(self) -> bytes:
        """Give what has come, waiting for something to come: b"" at the end."""
        while not self._pieces and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._session.taken(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes; where this side has closed or the client gave up they go nowhere."""
        if data and not self._closed:
            await self._session.send(spdy.Writer.data(self._number, data))

    async def close(self) -> None:
        """Say that nothing more comes from this side."""
        if not self._closed:
            self._closed = True
            await self._session.send(spdy.Writer.end(self._number))

    def take(self, data: bytes, *, last: bool) -> None:
        """Take in what the client has sent."""
        if data:
            self._pieces.append(data)
        self._ended = self._ended or last
        self._arrived.set()

    def give_up(self) -> None:
        """Take in that the client wants no more of it."""
        self._closed = True
        self.take(b"", last=True)


class Session:
    """All streams of a connection. Bytes come in by `feed` and go out by `write`.

    While it is `full` the client shall send no more; `room` waits for the end of that.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._reader = spdy.Reader()
        self._writer = spdy.Writer()
        self._streams: dict[int, Stream] = {}
        self._opened: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._outgoing: deque[bytes] = deque()
        self._writing = asyncio.Lock()
        self._due = asyncio.Event()
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def full(self) -> bool:
        """Whether much has come that nobody has read yet."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until most of it has been read."""
        await self._room.wait()

    async def accept(self) -> Stream | None:
        """Give the next stream that the client opens; None when it opens no more."""
        return await self._opened.get()

    async def send(self, frames: bytes) -> None:
        """Send frames, after those that are on their way already."""
        self._outgoing.append(frames)
        await self._flush()

    async def answer(self) -> None:
        """Send the answers to what comes in, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:  # one after the other: the compression of headers goes on from frame to frame
            while self._outgoing:
                await self._write(self._outgoing.popleft())

    def feed(self, data: bytes) -> None:
        """Take in bytes of the client. Raises `spdy.ProtocolError`."""
        for frame in self._reader.feed(data):
            self._take(frame)

    def end(self) -> None:
        """Take in that the client has gone."""
        for stream in self._streams.values():
            stream.give_up()
        self._opened.put_nowait(None)

    def taken(self, count: int) -> None:
        """Note that so many bytes have been read."""
        self._held -= count
        if self._held <= _MOST_HELD:
            self._room.set()

    def _take(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.Opened():
                stream = self._streams[frame.stream] = Stream(self, frame)
                self._reply(self._writer.accepted(frame.stream))
                self._opened.put_nowait(stream)
            case spdy.Data():
                self._hold(frame)
            case spdy.Reset():
                if frame.stream in self._streams:
                    self._streams.pop(frame.stream).give_up()
            case spdy.Ping():
                self._reply(frame.frame)
            case spdy.GoingAway():
                self._opened.put_nowait(None)

    def _reply(self, frame: bytes) -> None:
        self._outgoing.append(frame)
        self._due.set()

    def _hold(self, frame: spdy.Data) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            return  # given up meanwhile
        stream.take(frame.data, last=frame.last)
        self._held += len(frame.data)
        if self._held > _MOST_HELD:
            self._room.clear()
