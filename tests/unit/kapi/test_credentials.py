"""Where a client's tokens come from: files that change, and programs that give new ones when the old ones end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kapi.credentials import CredentialError, Executed, Plugin, TokenFile
from kapi.kubeconfig import KubeconfigError, in_cluster, load

SCRIPT = """
import json, os, pathlib, sys
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
count = pathlib.Path(sys.argv[1])
times = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(times))
status = {"token": f"{os.environ['WHO']}-{times}", "expirationTimestamp": "2030-01-01T00:00:00Z"}
print(json.dumps({"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "status": status}))
"""
END = 1893456000  # 2030-01-01


async def test_a_token_file_is_read_again_after_a_minute(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "token"
    file.write_text("one\n")
    source = TokenFile(file, lambda: now)
    assert await source.token() == "one"
    file.write_text("two")
    now = 59.0
    assert await source.token() == "one"
    now = 61.0
    assert await source.token() == "two"
    file.unlink()
    now = 200.0
    with pytest.raises(CredentialError, match="cannot be read"):
        await source.token()


def unused(_certificate: bytes, _key: bytes) -> None:
    raise AssertionError("there is no certificate to show")


async def test_a_plug_in_is_run_again_when_its_token_ends(tmp_path: Path) -> None:
    now = float(END - 10)
    (tmp_path / "give.py").write_text(SCRIPT)
    arguments = (str(tmp_path / "give.py"), str(tmp_path / "count"))
    source = Executed(Plugin(sys.executable, arguments, {"WHO": "me"}), unused, lambda: now)
    assert [await source.token(), await source.token()] == ["me-1", "me-1"]
    now = float(END)
    assert await source.token() == "me-2"


@pytest.mark.parametrize(
    "plugin",
    [
        Plugin("/nowhere/at/all"),
        Plugin("false"),
        Plugin("echo", ("not json",)),
        Plugin("echo", ('{"status": {}}',)),
        Plugin("echo", ("[]",)),
        Plugin("echo", ('{"status": {"clientCertificateData": "x"}}',)),
        Plugin("echo", ('{"status": {"token": "t", "clientCertificateData": "x"}}',)),
        Plugin("echo", ('{"status": {"token": "t", "clientKeyData": "x"}}',)),
    ],
    ids=str,
)
async def test_a_plug_in_that_fails_is_named(plugin: Plugin) -> None:
    with pytest.raises(CredentialError, match=plugin.command):
        await Executed(plugin, unused).token()


def test_a_plug_in_is_read_from_a_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        """
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {exec: {command: ./give, args: [x], env: [{name: A, value: b}]}}}]
"""
    )
    plugin = load(tmp_path / "config").plugin
    assert plugin is not None
    assert (plugin.command, plugin.arguments, dict(plugin.environment)) == ("./give", ("x",), {"A": "b"})
    assert plugin.folder == tmp_path


def test_a_pod_reaches_the_api_by_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeconfigError, match="no pod"):
        in_cluster(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd96::1")
    with pytest.raises(KubeconfigError, match="no ServiceAccount"):
        in_cluster(tmp_path)
    (tmp_path / "ca.crt").write_text("ca")
    (tmp_path / "namespace").write_text("apps\n")
    access = in_cluster(tmp_path)
    assert (access.server, access.namespace, access.ca) == ("https://[fd96::1]:443", "apps", b"ca")
    assert access.token_file == tmp_path / "token"
