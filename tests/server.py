"""Our API server in a process of its own, as people start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """A server that runs, and the first URL that it serves on."""

    process: subprocess.Popen[str]
    url: str

    def kill(self) -> None:
        """End it without a warning."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        """End it as people do; gives its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=15)
        return self.process.returncode


def start(*flags: str, within: tuple[str, ...] = ()) -> Server:
    """Start `kapi serve` with these flags, inside of a command that takes one, if need be."""
    command = [*within, sys.executable, "-m", "kapi.cli", "serve", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving on "), "the server did not start; its own words are above"
    return Server(process, line.removeprefix("serving on ").partition(";")[0].partition(",")[0])


@contextmanager
def serving(*flags: str) -> Iterator[str]:
    """Run `kapi serve` with these flags; gives its URL."""
    server = start(*flags)
    try:
        yield server.url
    finally:
        assert server.end() == 0
