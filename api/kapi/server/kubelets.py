"""What an API server asks of the kubelets: a log as it grows, a command in a container, a port of a pod."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Read = Callable[[], Awaitable[bytes]]
"""Gives what has come, after waiting for something to come: b"" at the end."""

Write = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Streams:
    """What a command of a client reads and writes; None for what the client does not want.

    With `terminal` the command gets one, `stdout` is all it prints, and `sizes` gives each new (columns, rows).
    """

    stdin: Read | None = None
    stdout: Write | None = None
    stderr: Write | None = None
    sizes: Callable[[], Awaitable[tuple[int, int] | None]] | None = None
    terminal: bool = False


class Pipe(Protocol):
    """A connection to a port of a pod."""

    async def read(self) -> bytes:
        """Give what has come: b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until there is room for more."""
        ...

    async def end(self) -> None:
        """Say that nothing more comes from this side."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Kubelets(Protocol):
    """Whoever runs the pods. All raise `kapi.errors.StatusError` for what does not run here."""

    def follow(self, namespace: str, pod: str, container: str) -> AsyncIterator[bytes]:
        """Give a container's log: what is there at once, then what is added, until the container has ended."""
        ...

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams) -> int:
        """Run a command in a container, and give its exit code when it has ended. Cancelling this ends it."""
        ...

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> int:
        """Show what a container prints, and give 0 when it has ended; how it ended is in its status."""
        ...

    async def connect(self, namespace: str, pod: str, port: int) -> Pipe:
        """Connect to a port of a pod, as its own processes do at localhost. Raises OSError where nobody listens."""
        ...
