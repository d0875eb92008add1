"""Servers on a node, with real packets: one at the node's own address, and one by the Corefile of kubeadm as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.corefiles import KUBEADM

LOCAL = "169.254.20.10"
NAME = "web.default.svc.cluster.local"
UPSTREAM = """
import socket, sys
import dnslib
server = socket.create_server(("10.1.0.2", 53))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    print("connection", flush=True)
    with connection, connection.makefile("rb") as reader:
        while (head := reader.read(2)):
            query = dnslib.DNSRecord.parse(reader.read(int.from_bytes(head, "big")))
            print("question", query.q.qname, flush=True)
            reply = query.reply()
            reply.add_answer(*dnslib.RR.fromZone(f"{query.q.qname} 30 A 10.96.0.7"))
            data = bytes(reply.pack())
            connection.sendall(len(data).to_bytes(2, "big") + data)
"""


class Namespace:
    """A network namespace of this test, which ends with its only process."""

    def __init__(self) -> None:
        words = ["unshare", "--net", "--", "sh", "-c", "ip link set lo up && echo up && exec sleep 100"]
        self._holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "up\n":
            pytest.skip("network namespaces cannot be made here (they take CAP_SYS_ADMIN)")
        self.pid = self._holder.pid

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *words]

    def run(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture
def spaces() -> Iterator[dict[str, Namespace]]:
    """A node with a pod on it, and the cluster's DNS server elsewhere."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "nsenter", "nft", "conntrack", "dig"))):
        pytest.skip("it takes root, and the commands unshare, nsenter, nft, conntrack and dig")
    made = {name: Namespace() for name in ("node", "pod", "dns")}
    node = made["node"]
    try:
        for other, network in (("pod", "10.2.0"), ("dns", "10.1.0")):
            node.run("ip", "link", "add", other, "type", "veth", "peer", "name", "eth0", "netns", str(made[other].pid))
            node.run("ip", "addr", "add", f"{network}.1/24", "dev", other)
            node.run("ip", "link", "set", other, "up")
            made[other].run("ip", "addr", "add", f"{network}.2/24", "dev", "eth0")
            made[other].run("ip", "link", "set", "eth0", "up")
            made[other].run("ip", "route", "add", "default", "via", f"{network}.1")
        # something that needs connections to be tracked, as a node's service proxy does
        node.run(
            "nft",
            "add table inet other; add chain inet other came { type filter hook prerouting priority 0; }; "
            "add chain inet other went { type filter hook output priority 0; }; "
            "add rule inet other came ct state invalid drop; add rule inet other went ct state invalid drop",
        )
        yield made
    finally:
        for each in made.values():
            each.close()


@contextmanager
def saying(words: list[str], first: str) -> Iterator[list[str]]:
    """A process that has said so; what it says is kept."""
    said: list[str] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert first in line, line + process.stdout.read()
        reading = threading.Thread(target=lambda: said.extend(process.stdout or ()))
        reading.start()
        try:
            yield said
        finally:
            process.terminate()
            process.wait(10)
            reading.join()


def asked(pod: Namespace, *options: str) -> str:
    return pod.run("dig", f"@{LOCAL}", "+tries=1", "+timeout=3", "+short", *options).strip()


def test_a_pod_asks_its_node_nothing_is_tracked_and_upstream_hears_tcp(spaces: dict[str, Namespace]) -> None:
    node, pod = spaces["node"], spaces["pod"]
    upstream = spaces["dns"].command(sys.executable, "-c", UPSTREAM)
    kdns = node.command(sys.executable, "-m", "kdns", "--node-local", LOCAL, "--upstream", "10.1.0.2")
    with saying(upstream, "listening") as heard:
        with saying(kdns, f"kdns answers on {LOCAL} port 53"):
            for option in ("+notcp", "+tcp"):
                for _ in range(5):
                    assert asked(pod, option, NAME) == "10.96.0.7"
            assert asked(pod, "elsewhere.example") == "10.96.0.7"
            assert asked(pod, "elsewhere.example") == "10.96.0.7"
            tracked = node.run("conntrack", "-L")
            assert re.search(r"tcp .* dst=10\.1\.0\.2 sport=\d+ dport=53", tracked), "others are tracked here"
            assert LOCAL not in tracked
            assert LOCAL in node.run("ip", "addr")
        assert LOCAL not in node.run("ip", "addr")
        assert "kdns" not in node.run("nft", "list", "ruleset")
        assert "kdns" not in node.run("ip", "link")
    questions = [line.split()[1] for line in heard if line.startswith("question")]
    assert questions == [f"{NAME}."] * 10 + ["elsewhere.example."], "the cluster's names are not remembered, others are"
    assert heard.count("connection\n") == 1, "they share one connection"


def test_what_the_node_does_not_allow_is_told_in_a_sentence(spaces: dict[str, Namespace]) -> None:
    words = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all", sys.executable, "-m", "kdns"]
    command = spaces["node"].command(*words, "--node-local", LOCAL, "--upstream", "10.1.0.2")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"kdns: {LOCAL} cannot be made an address of this node" in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr


AS_A_POD = """
mount -t tmpfs none /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
cp {folder}/token {folder}/namespace {folder}/ca.crt /run/secrets/kubernetes.io/serviceaccount
mount --bind {folder}/resolv.conf /etc/resolv.conf
unset KUBECONFIG
export KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=6443 HOME={folder}
exec {python} -m kdns -conf {folder}/Corefile
"""


@pytest.fixture
def api(spaces: dict[str, Namespace], tmp_path: Path) -> Iterator[None]:
    """An API server on the node, over HTTPS, with a Service; and what a pod of it finds in its files."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed (Debian package kubernetes-client)")
    node, config = spaces["node"], tmp_path / "config"
    words = [sys.executable, "-m", "kapi.cli", "serve", "--secure-listen", "127.0.0.1:6443"]
    words += ["--kubeconfig", str(config), "--certificates", str(tmp_path / "pki")]
    with saying(node.command(*words), "serving on https://"):
        kubectl = ("kubectl", "--kubeconfig", str(config))
        node.run(*kubectl, "create", "service", "clusterip", "web", "--tcp=80", "--clusterip=10.96.77.7")
        node.run(*kubectl, "create", "serviceaccount", "coredns", "-n", "kube-system")
        token = node.run(*kubectl, "create", "token", "coredns", "-n", "kube-system")
        for name, text in (
            ("token", token),
            ("namespace", "kube-system"),
            ("ca.crt", (tmp_path / "pki" / "ca.crt").read_text()),
            ("resolv.conf", "nameserver 10.1.0.2\n"),
            ("Corefile", KUBEADM),
        ):
            (tmp_path / name).write_text(text)
        yield


def test_the_corefile_of_kubeadm_works_as_it_is(spaces: dict[str, Namespace], api: None, tmp_path: Path) -> None:
    node, pod = spaces["node"], spaces["pod"]
    outside = [sys.executable, "-m", "kdns", "--listen", "10.1.0.2:53", "--no-forward", "--record"]
    script = AS_A_POD.format(folder=tmp_path, python=sys.executable)
    kdns = node.command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)

    def told(*options: str) -> str:
        return pod.run("dig", "@10.2.0.1", "+tries=1", "+timeout=3", "+short", *options).strip()

    with (
        saying(spaces["dns"].command(*outside, "outside.example=192.0.2.1"), "kdns answers"),
        saying(kdns, "kdns answers"),
    ):
        pod.run(
            "curl", "--retry", "50", "--retry-delay", "0", "--retry-all-errors", "-sf", "http://10.2.0.1:8181/ready"
        )
        assert pod.run("curl", "-sf", "http://10.2.0.1:8080/health") == "OK\n"
        for transport in ("+notcp", "+tcp"):
            assert told(transport, "web.default.svc.cluster.local") == "10.96.77.7"
        assert told("-x", "10.96.77.7") == "web.default.svc.cluster.local."
        assert told("1-2-3-4.default.pod.cluster.local") == "1.2.3.4"
        assert told("outside.example") == "192.0.2.1"
        assert told("-x", "192.0.2.1") == "outside.example.", "by fallthrough"
        numbers = pod.run("curl", "-sf", "http://10.2.0.1:9153/metrics")
        assert re.search(r'coredns_dns_requests_total\{.*proto="tcp".*type="A"\} 1\b', numbers)
