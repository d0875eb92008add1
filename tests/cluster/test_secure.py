"""The real kubectl over HTTPS: with the kubeconfig that the server wrote, with a token, and with nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of a server that is served over HTTPS only."""
    for tool in ("kubectl", "openssl"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} on the PATH")
    path = tmp_path / "config"
    command = [sys.executable, "-m", "kapi.cli", "serve", "--secure-listen", "127.0.0.1:0", "--kubeconfig", str(path)]
    command += ["--certificates", str(tmp_path / "pki")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving on https://127.0.0.1:")
        try:
            yield path
        finally:
            server.terminate()
            assert server.wait(10) == 0


def kubectl(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["kubectl", *arguments], env=environment, capture_output=True, text=True, timeout=25, check=False
    )


def test_the_kubeconfig_lets_its_owner_in_and_nobody_else(config: Path, tmp_path: Path) -> None:
    mine = ("--kubeconfig", str(config))
    assert "default" in kubectl(tmp_path, *mine, "get", "namespaces").stdout
    assert kubectl(tmp_path, *mine, "create", "serviceaccount", "robot").returncode == 0
    token = kubectl(tmp_path, *mine, "create", "token", "robot", "--duration=20m").stdout.strip()
    server = kubectl(tmp_path, *mine, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").stdout
    authority = ("-s", server, "--certificate-authority", str(tmp_path / "pki" / "ca.crt"))
    assert "default" in kubectl(tmp_path, *authority, "--token", token, "get", "namespaces").stdout
    for wrong in (("--token", "x"), ("--username", "a", "--password", "b")):
        refused = kubectl(tmp_path, *authority, *wrong, "get", "namespaces")
        assert "Unauthorized" in refused.stderr or "You must be logged in" in refused.stderr
    assert config.stat().st_mode & 0o077 == 0
