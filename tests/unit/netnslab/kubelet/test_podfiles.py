from __future__ import annotations

from typing import Any

import pytest

from netnslab.kubelet import podfiles, podreading
from netnslab.kubelet.podspec import PodSpec

HOST = "# a comment\nnameserver 192.0.2.53\nsearch example.com\noptions rotate\n"
CLUSTER = "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"


def pod(**spec: Any) -> PodSpec:
    return podreading.read({"metadata": {"name": "web-1", "namespace": "shop"}, "spec": {"containers": [], **spec}})


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "Default"}, "nameserver 192.0.2.53\nsearch example.com\noptions rotate\n"),
        ({"hostNetwork": True}, "nameserver 192.0.2.53\nsearch example.com\noptions rotate\n"),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}}, "nameserver 192.0.2.1\n"),
        (
            {"dnsConfig": {"searches": ["extra"], "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]}},
            "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local extra\n"
            "options ndots:2 rotate\n",
        ),
    ],
)
def test_the_resolver_follows_the_pods_policy(spec: dict[str, Any], text: str) -> None:
    assert podfiles.resolv_conf(pod(**spec), "10.96.0.10", "cluster.local", HOST) == text


def test_no_more_name_servers_than_a_resolver_reads() -> None:
    many = [f"192.0.2.{number}" for number in range(5)]
    text = podfiles.resolv_conf(pod(dnsConfig={"nameservers": many}), "10.96.0.10", "cluster.local", "")
    assert text.count("nameserver") == 3


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({}, "10.244.1.5\tweb-1"),
        ({"hostname": "db"}, "10.244.1.5\tdb"),
        ({"hostname": "db", "subdomain": "peers"}, "10.244.1.5\tdb.peers.shop.svc.cluster.local\tdb"),
        ({"hostAliases": [{"ip": "192.0.2.7", "hostnames": ["a", "b.example"]}]}, "192.0.2.7\ta b.example"),
    ],
)
def test_the_hosts_file_has_the_pod_and_its_aliases(spec: dict[str, Any], line: str) -> None:
    assert line in podfiles.hosts(pod(**spec), ("10.244.1.5", "fd44:0:0:1::5"), "cluster.local").splitlines()
