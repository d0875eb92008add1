"""The command in a namespace, in one mode after another: each leaves nothing of the one before, cleaning up nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kproxy import modes
from kproxy.host import InNamespace
from netnslab.kernel import Namespace
from netnslab.steps import Up

CLUSTER = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.2]}]
"""
OTHERS = """\
table ip others {
	chain mine {
		ip saddr 192.0.2.1 drop
	}
}
"""
ARGUMENTS = ["--healthz-bind-address", "", "--metrics-bind-address", ""]


def kproxy(namespace: Namespace, *arguments: str) -> subprocess.Popen[str]:
    with namespace.entered():
        command = [sys.executable, "-m", "kproxy", *ARGUMENTS, *arguments]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def shown(namespace: Namespace, *command: str) -> str:
    with namespace.entered():
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def rules(namespace: Namespace) -> str:
    """Every rule there is, as each tool shows it."""
    tools = ("iptables-legacy-save", "ip6tables-legacy-save", "iptables-nft-save", "ip6tables-nft-save")
    return shown(namespace, "nft", "list", "ruleset") + "".join(shown(namespace, tool) for tool in tools)


def by_nftables(listed: str) -> bool:
    return "table ip kproxy {" in listed and "shop/web:http" in listed and "KUBE-" not in listed


def by_iptables(listed: str) -> bool:
    return "KUBE-SVC-" in listed and "shop/web:http" in listed and "table ip kproxy {" not in listed


def by_nobody(listed: str) -> bool:
    return not by_nftables(listed) and not by_iptables(listed) and "kproxy" not in listed


def serve(namespace: Namespace, folder: Path, mode: str, served: Callable[[str], bool]) -> None:
    """Run in a mode until the rules are as they should be, and end."""
    with kproxy(namespace, "--manifests", str(folder), "--proxy-mode", mode) as running:
        try:
            ends = time.monotonic() + 10
            while not served(listed := rules(namespace)):
                assert time.monotonic() < ends, listed
                time.sleep(0.05)
            running.send_signal(signal.SIGTERM)
            assert running.wait(10) == 0
        finally:
            running.kill()
    assert served(rules(namespace))  # they stay, for connections to outlive a restart


def clean_up(namespace: Namespace) -> None:
    with kproxy(namespace, "--cleanup") as running:
        assert running.wait(20) == 0
    left = rules(namespace)
    assert not [word for word in ("kproxy", "KUBE-", "shop/web") if word in left], left
    assert OTHERS.strip() in left


@pytest.mark.timeout(90)  # six commands start, one after the other
@pytest.mark.parametrize("other", ["iptables-nft", "iptables-legacy"])
def test_switching_modes_and_cleaning_up_leave_nothing_behind(namespace: Namespace, tmp_path: Path, other: str) -> None:
    host = InNamespace(namespace.fd)
    for mode in ("nftables", other):
        if why := modes.missing(mode, host):
            pytest.skip(why)
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    namespace.apply([Up("lo")])
    with namespace.entered():
        subprocess.run(["nft", "-f", "-"], input=OTHERS, text=True, check=True)
    serve(namespace, tmp_path, "nftables", by_nftables)
    serve(namespace, tmp_path, other, by_iptables)
    serve(namespace, tmp_path, "nftables", by_nftables)
    serve(namespace, tmp_path, "userspace", by_nobody)
    serve(namespace, tmp_path, other, by_iptables)
    clean_up(namespace)
