"""Runs a script somewhere in a lab, or on the host with `kubectl` set up for the lab, and keeps what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from netnslab import remote
from netnslab.check import Output
from netnslab.state import LabFolder

HOST = "host"


def run(folder: LabFolder, where: str, script: str) -> Output:
    """Run a shell script in a pod, on a node, at the outside client, or on the host. Raises NoSuchTarget."""
    with tempfile.TemporaryFile() as printed:
        if where == HOST:
            code = subprocess.run(
                ["sh", "-c", script], env=_host_environment(folder), stdout=printed, stderr=printed, check=False
            ).returncode
        else:
            with Path(os.devnull).open("rb") as nothing:
                descriptors = (nothing.fileno(), printed.fileno(), printed.fileno())
                code = remote.execute(folder, where, ["sh", "-c", script], descriptors, terminal=False)
        printed.seek(0)
        return Output(code, printed.read().decode(errors="replace"))


def _host_environment(folder: LabFolder) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "KUBECONFIG": str(folder.kubeconfig), "NETNS_LAB": folder.name}
