"""Kubeconfigs: what is read is what was written, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kapi.kubeconfig import Access, KubeconfigError, client_from, load, write
from kapi.transport import HttpTransport


def test_what_is_written_is_read_again_and_nobody_else_can(tmp_path: Path) -> None:
    access = Access("https://127.0.0.1:6443", ca=b"ca", certificate=b"cert", key=b"key", token="t", namespace="n")
    write(tmp_path / "dir" / "config", access, "lab")
    assert load(tmp_path / "dir" / "config") == access
    assert (tmp_path / "dir" / "config").stat().st_mode & 0o777 == 0o600


def test_secrets_are_not_printed() -> None:
    assert "hidden" not in repr(Access("http://x", token="hidden", key=b"hidden"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "cannot be read as a kubeconfig"),
        ("- a", "holds no mapping"),
        ("current-context: x", "there is no 'x' in contexts"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]", "there is no 'c' in clusters"),
        (
            "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]",
            "has no server",
        ),
        (
            "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
            "clusters: [{name: c, cluster: {server: s}}]",
            "cluster 'c': 's' is no URL of an API server",
        ),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(KubeconfigError, match=why):
        load(tmp_path / "config")


async def test_a_client_comes_from_a_url_or_from_a_file(tmp_path: Path) -> None:
    write(tmp_path / "config", Access("http://127.0.0.1:1"), "lab")
    for client in (client_from(None, "http://127.0.0.1:1/"), client_from(tmp_path / "config", None)):
        assert isinstance(client.transport, HttpTransport)
        assert client.transport.url == "http://127.0.0.1:1"
