"""The kubectls that the API server is for: of several versions, and with both ways to begin a watch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

PEERS = Path(__file__).parents[2] / "peers" / "bin"
PATIENCE = 60  # seconds for one command
MODERN = 27  # the minor version from which on a kubectl is one that the server is for


@dataclass(frozen=True)
class Kubectl:
    """A kubectl with a home of its own, talking to one server."""

    program: str
    flags: tuple[str, ...]
    home: Path
    watch_lists: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The variables it is run with."""
        begin = {"KUBE_FEATURE_WatchListClient": str(self.watch_lists).lower()}
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], **begin}

    def run(self, *arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, whatever that is; `given` is its standard input."""
        command = [self.program, *self.flags, *arguments]
        environment = self.environment | variables
        return subprocess.run(
            command, env=environment, input=given, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def __call__(self, *arguments: str, given: str = "", **variables: str) -> str:
        done = self.run(*arguments, given=given, **variables)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *arguments: str, given: str = "") -> str:
        """Run a command that must fail; gives what it says."""
        done = self.run(*arguments, given=given)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr

    @contextmanager
    def beside(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command beside others; it is ended with the block, if it has not ended by itself."""
        command = [self.program, *self.flags, *arguments]
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True) as running:
            try:
                yield running
            finally:
                running.kill()

    def file(self, name: str, text: str) -> str:
        """Write a file into its home; gives the path."""
        path = self.home / name
        path.write_text(text)
        return str(path)

    @cached_property
    def minor(self) -> int:
        """The minor version: 27 of 1.27."""
        found = re.search(r"v1\.(\d+)", self("version", "--client"))
        assert found is not None
        return int(found[1])


@dataclass(frozen=True)
class Choice:
    """A program, and how its watches begin: with a list (until 1.34), or with a watch that has one in it."""

    name: str
    watch_lists: bool = False

    def __str__(self) -> str:
        return f"{self.name}{', watch lists' if self.watch_lists else ''}"


# Released kubectls are built by scripts/peers.
PROGRAMS = [
    pytest.param(Choice("path"), id="path"),
    pytest.param(Choice("v1.27"), id="v1.27", marks=pytest.mark.peers),
    pytest.param(Choice("v1.35"), id="v1.35", marks=pytest.mark.peers),
]
WATCH_LISTS = [
    pytest.param(Choice("path", watch_lists=True), id="path, watch lists"),
    pytest.param(Choice("v1.35", watch_lists=True), id="v1.35, watch lists", marks=pytest.mark.peers),
]


def program(name: str) -> str:
    """Give the path of a kubectl; skips, with the reason, where there is none."""
    found = shutil.which("kubectl") if name == "path" else str(PEERS / f"kubectl-{name}")
    if found is None:
        pytest.skip("there is no kubectl on the PATH")
    if not Path(found).exists():
        pytest.skip(f"kubectl {name} has not been built: scripts/peers kubectl")
    return found
