"""etcd as the tests need it: one process, or three that must agree."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

from tests.ports import unused_port

PATIENCE = 30.0  # seconds for a start; three of them on a busy machine take a while to choose a leader


class Etcd:
    """One etcd process, which can be killed and started again on the same files."""

    def __init__(self, folder: Path, name: str = "default") -> None:
        self.name = name
        self.folder = folder
        self.url = f"http://127.0.0.1:{unused_port()}"
        self.peer = f"http://127.0.0.1:{unused_port()}"
        self.members = [self]
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it, and do not wait until it answers."""
        command = ["etcd", "--name", self.name, "--data-dir", str(self.folder), "--logger=zap", "--log-level=error"]
        command += [f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"]
        command += [f"--listen-peer-urls={self.peer}", f"--initial-advertise-peer-urls={self.peer}"]
        command += ["--initial-cluster", ",".join(f"{member.name}={member.peer}" for member in self.members)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready(self) -> None:
        """Wait until it answers, which it does when there is a quorum."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                    if b'"true"' in answer.read():
                        return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("etcd did not start")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.begin()
        self.ready()

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def three(folder: Path) -> list[Etcd]:
    """Give three members of one cluster, which are not yet started."""
    members = [Etcd(folder / f"m{number}", f"m{number}") for number in range(3)]
    for member in members:
        member.members = members
    return members
