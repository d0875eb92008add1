"""Runs the echo server in a container's place, and tells it, also later, which ports to answer on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from netnslab.errors import LabError

_PATIENCE = 10.0  # seconds that an echo server may take to listen; it takes milliseconds


class Control:
    """The line on which an echo server is told its ports. `theirs` is the end that it inherits, `told` the ports."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.told: set[tuple[str, int]] = set()
        self._lock = asyncio.Lock()

    def close(self) -> None:
        """Let go of both ends."""
        self._ours.close()
        self.theirs.close()

    async def listen(self, ports: Iterable[tuple[str, int]]) -> list[str]:
        """Have it listen on ports, those it knows excepted, and give its complaints.

        Raises LabError when it does not answer.
        """
        async with self._lock:
            fresh = sorted(set(ports) - self.told)
            self.told |= set(fresh)
            if not fresh:
                return []
            request = "".join(f"{kind} {port}\n" for kind, port in fresh).encode()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await asyncio.get_running_loop().sock_sendall(self._ours, request)
                    answers = await self._lines(len(fresh))
            except TimeoutError:
                raise LabError(f"the echo server did not listen within {_PATIENCE:g} s") from None
            except OSError as error:
                raise LabError(f"the echo server ended while it was told its ports: {error}") from error
        return [answer for answer in answers if not answer.startswith("listening")]

    async def _lines(self, count: int) -> list[str]:
        data = b""
        while data.count(b"\n") < count:
            piece = await asyncio.get_running_loop().sock_recv(self._ours, 4096)
            if not piece:
                raise LabError("the echo server ended while it was told its ports")
            data += piece
        return data.decode(errors="replace").splitlines()
