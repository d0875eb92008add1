from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NOBODY = 65534
PACKAGES = ("api", "kproxy", "dns", "ingress", "endpoints", "netns-lab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def as_nobody() -> Iterator[Run]:
    """Runs `netns-lab` as a user with no privileges at all."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not here, so no test can become an unprivileged user")
    paths = [*(str(ROOT / package) for package in PACKAGES), *(path for path in sys.path if path.endswith("-packages"))]
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(paths), "HOME": "/"}
        command = [*drop, _interpreter(), "-m", "netnslab.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=False)

    if run("list").returncode != 0:
        pytest.skip("an unprivileged user cannot read this project or its interpreter")
    if run("doctor").returncode != 0:
        pytest.skip("this host allows no unprivileged user namespaces")
    yield run
    with contextlib.suppress(OSError):
        Path("/tmp", f"netns-lab-{NOBODY}").rmdir()


def _interpreter() -> str:
    """An interpreter of this version that everybody may run."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    return system if Path(system).exists() else sys.executable


def test_a_lab_runs_without_root(as_nobody: Run) -> None:
    name = f"t-{uuid.uuid4().hex[:8]}"
    up = as_nobody("up", f"--name={name}", "--nodes=2")
    try:
        assert up.returncode == 0, up.stderr
        asked = as_nobody("exec", f"--name={name}", "client", "--", "curl", "-sI", "http://203.0.113.1/")
        assert asked.stdout.startswith("HTTP/1.1 404"), asked.stderr
        named = as_nobody("exec", f"--name={name}", "node/worker-1", "--", "id", "-u")
        assert named.stdout == "0\n"
        assert as_nobody("exec", f"--name={name}", "client", "--", "kill", "-TERM", "1").returncode == 0
        assert as_nobody("status", f"--name={name}").returncode == 0
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as checks:
            checks.write("- {check: its owner may use the API, from: host, run: kubectl get nodes, expect: worker-1}\n")
            checks.flush()
            Path(checks.name).chmod(0o644)
            checked = as_nobody("check", f"--name={name}", checks.name)
        assert checked.returncode == 0, checked.stdout
    finally:
        assert as_nobody("down", f"--name={name}").returncode == 0
