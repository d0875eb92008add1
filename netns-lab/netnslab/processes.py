"""Starts programs through the zygote and waits for them, on the supervisor's event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from netnslab import zygote
from netnslab.child import Program
from netnslab.errors import LabError

_DATAGRAM = 1 << 16
_UNCONFIRMED = 32  # requests on their way to the zygote: more would only fill its socket


class Process:
    """One program that was started. `code` is its exit status, or minus the signal that ended it."""

    def __init__(self, processes: Processes, number: int) -> None:
        self._processes = processes
        self._number = number
        self.pid = 0
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self.ended.done()

    async def wait(self) -> int:
        """Wait for the end and give the exit code. Cancelling this leaves the program alone."""
        return await asyncio.shield(self.ended)

    def signal(self, which: int) -> None:
        """Send a signal to the program and everything in its process group."""
        if self.running:
            self._processes.signal(self._number, which)

    async def stop(self, grace: float) -> int:
        """End the program: SIGTERM, and after `grace` seconds SIGKILL. Gives the exit code."""
        if grace > 0:
            self.signal(signal.SIGTERM)
            try:
                return await asyncio.wait_for(self.wait(), grace)
            except TimeoutError:
                pass
        self.signal(signal.SIGKILL)
        return await self.wait()


class Processes:
    """The supervisor's end of the zygote's line. Use it as a context manager inside a running event loop."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._numbers = itertools.count(1)
        self._known: dict[int, Process] = {}
        self._slots = asyncio.Semaphore(_UNCONFIRMED)
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @contextmanager
    def listening(self) -> Iterator[Processes]:
        """Take in the zygote's reports for the length of a block; `lost` is done when the zygote has gone."""
        loop = asyncio.get_running_loop()
        self._line.setblocking(False)
        loop.add_reader(self._line, self._read)
        try:
            yield self
        finally:
            loop.remove_reader(self._line)

    async def start(self, program: Program, descriptors: Sequence[int]) -> Process:
        """Start a program. The descriptors are those that `Program` describes; the caller keeps its own copies."""
        async with self._slots:
            number = next(self._numbers)
            process = self._known[number] = Process(self, number)
            try:
                socket.send_fds(self._line, [zygote.request(number, program)], descriptors)
            except OSError as error:
                del self._known[number]
                raise LabError(
                    f"{program.argv[0]} could not be started: the zygote does not answer: {error}"
                ) from error
            await asyncio.shield(process.started)
        return process

    def signal(self, number: int, which: int) -> None:
        """Have the zygote signal one of its children."""
        self._line.send(zygote.signal_request(number, which))

    def _read(self) -> None:
        while True:
            try:
                data = self._line.recv(_DATAGRAM)
            except BlockingIOError:
                return
            if not data:
                self._lose()
                return
            self._take(json.loads(data))

    def _take(self, report: dict[str, int]) -> None:
        process = self._known[report["id"]]
        if "pid" in report:
            process.pid = report["pid"]
            process.started.set_result(None)
            return
        del self._known[report["id"]]
        process.ended.set_result(report["code"])

    def _lose(self) -> None:
        asyncio.get_running_loop().remove_reader(self._line)
        if not self.lost.done():
            self.lost.set_result(None)
