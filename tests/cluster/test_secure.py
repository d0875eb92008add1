"""The real kubectl over HTTPS: with the kubeconfig that the server wrote, with a token, and with nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.kubectls import Kubectl, program
from tests.server import serving


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Kubectl]:
    """A kubectl with the kubeconfig that a server wrote, which is served over HTTPS only."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on the PATH")
    config = tmp_path / "config"
    pki = str(tmp_path / "pki")
    with serving("--secure-listen", "127.0.0.1:0", "--kubeconfig", str(config), "--certificates", pki) as url:
        assert url.startswith("https://127.0.0.1:")
        yield Kubectl(program("path"), ("--kubeconfig", str(config)), tmp_path)


def test_the_kubeconfig_lets_its_owner_in_and_nobody_else(mine: Kubectl, tmp_path: Path) -> None:
    assert "default" in mine("get", "namespaces")
    mine("create", "serviceaccount", "robot")
    token = mine("create", "token", "robot", "--duration=20m").strip()
    server = mine("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    anyone = Kubectl(
        mine.program, ("-s", server, "--certificate-authority", str(tmp_path / "pki" / "ca.crt")), tmp_path
    )
    assert "default" in anyone("--token", token, "get", "namespaces")
    for wrong in (("--token", "x"), ("--username", "a", "--password", "b")):
        told = anyone.refused(*wrong, "get", "namespaces")
        assert "Unauthorized" in told or "You must be logged in" in told
    assert "kubernetes-admin" in mine("auth", "whoami")
    assert "system:serviceaccount:default:robot" in anyone("--token", token, "auth", "whoami")
    assert (tmp_path / "config").stat().st_mode & 0o077 == 0
