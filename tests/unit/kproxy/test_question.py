"""`kproxy explain`: from a folder of manifests to words, without touching anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kproxy import cli

Tell = Callable[..., tuple[int, str, str]]  # words to exit code, output and errors

CLUSTER = """\
apiVersion: v1
kind: Node
metadata: {name: worker-1}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 172.30.0.11}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIPs: [10.96.0.1]
  ports: [{name: http, port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.1.2], nodeName: worker-1}]
"""


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tell:
    (tmp_path / "cluster.yaml").write_text(CLUSTER)

    def tell(*words: str) -> tuple[int, str, str]:
        code = cli.main(["explain", "--manifests", str(tmp_path), "--node-name", "worker-1", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return tell


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            "10.244.1.9 10.96.0.1 80",
            [
                "A new tcp connection from a pod or another host, 10.244.1.9 to 10.96.0.1 port 80:",
                "tcp-frontends sends it to tcp-cluster-1 for Service port shop/web:http",
                "it goes to the endpoint 10.244.1.2:8080; the endpoint sees the client's own address",
            ],
        ),
        (
            "198.51.100.1 10.96.0.1 80",
            [
                "marks it for masquerading, since the source address is not in pod-networks"
                "   [ip kproxy tcp-cluster-1, rule 1: ip saddr != @pod-networks",
                "the endpoint sees the node's address",
            ],
        ),
        ("172.30.0.11 172.30.0.11 30080/TCP", ["from the node itself", "it goes to the endpoint 10.244.1.2:8080"]),
        ("10.244.1.9 10.96.0.1 81/tcp", ["refused at once", "since the destination address is in cluster-ips"]),
        ("10.244.1.9 192.0.2.1 53/udp", ["no rule is about it", "Not known: whether 192.0.2.1 is within the network"]),
    ],
)
def test_it_tells_what_happens_and_why(told: Tell, asked: str, words: list[str]) -> None:
    code, said, _ = told(*asked.split())
    assert code == 0
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("spec", "asked", "words"),
    [
        (
            {"externalTrafficPolicy": "Local"},
            "198.51.100.1 172.30.0.11 30080",
            "externalTrafficPolicy Local: from outside only endpoints of this node serve, not 10.244.2.2:8080.",
        ),
        (
            {"internalTrafficPolicy": "Local"},
            "10.244.1.9 10.96.0.1 80",
            "internalTrafficPolicy Local, and no endpoint is on this node.",
        ),
        (
            {"sessionAffinity": "ClientIP"},
            "10.244.1.9 10.96.0.1 80",
            "sessionAffinity ClientIP: who came within 10800 s goes there again.",
        ),
    ],
)
def test_it_says_which_policy_of_the_service_decides(
    told: Tell, tmp_path: Path, spec: dict[str, str], asked: str, words: str
) -> None:
    elsewhere = CLUSTER.replace("10.244.1.2], nodeName: worker-1", "10.244.2.2], nodeName: worker-2")
    lines = "".join(f"  {key}: {value}\n" for key, value in spec.items())
    (tmp_path / "cluster.yaml").write_text(elsewhere.replace("  type: NodePort\n", f"  type: NodePort\n{lines}"))
    _, said, _ = told(*asked.split())
    assert f"Service port shop/web:http has {words}" in said
    assert words in told(*asked.split(), "--json")[1]


def test_json_has_every_rule_with_its_chain_its_words_and_its_service_port(told: Tell) -> None:
    code, said, _ = told("10.244.1.9", "10.96.0.1", "80", "--json")
    found = json.loads(said)
    assert code == 0
    (only,) = found["possibilities"]
    assert (only["ending"], only["chance"], only["destination"], only["port"]) == ("endpoint", 1, "10.244.1.2", 8080)
    assert only["steps"][1]["chain"] == "services"
    assert only["steps"][1]["servicePort"] == "shop/web:http"
    assert only["steps"][1]["words"].startswith("do what tcp-frontends says for the destination address")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("here 10.96.0.1 80", "SOURCE: 'here' is not accepted: it is no IP address"),
        ("10.0.0.1 10.96.0.1 http", "PORT: 'http' is not accepted"),
        ("10.0.0.1 10.96.0.1 80/icmp", "PORT: '80/icmp' is not accepted: the protocol is one of tcp, udp, sctp"),
        ("10.0.0.1 fd96::1 80", "of two IP families"),
        ("10.0.0.1 10.96.0.1 80 --node-name worker-9", "there is no Node worker-9; there are worker-1"),
        ("10.0.0.1 10.96.0.1 80 --proxy-mode ipvs", "explain tells of mode nftables, not of ipvs"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(told: Tell, asked: str, words: str) -> None:
    code, _, said = told(*asked.split())
    assert code == 2
    assert words in said
    assert said.count("\n") == 1


def test_a_cluster_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kproxy.question.SECONDS", 0.2)
    asked = ["explain", "10.0.0.1", "10.96.0.1", "80"]
    assert cli.main([*asked, "--manifests", str(tmp_path / "no")]) == 1
    assert "is no folder" in capsys.readouterr().err
    assert cli.main([*asked, "--server", "http://127.0.0.1:1"]) == 1
    assert "the cluster was not known within" in capsys.readouterr().err


def test_it_says_what_the_answer_hangs_on_where_nobody_has_told_that(told: Tell) -> None:
    asked = ("10.244.1.9", "10.96.0.99", "80")
    assert "whether 10.96.0.99" in json.loads(told(*asked, "--json")[1])["notKnown"]
    _, known, _ = told(*asked, "--service-cidr", "10.96.0.0/16")
    assert "dropped in silence" in known
    assert "Not known" not in known
    assert "Not known" not in told("10.244.1.9", "10.96.0.1", "80")[1]
