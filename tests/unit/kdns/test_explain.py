"""Names of others are asked for where the cluster's own DNS server would ask, and it is said where that is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.upstreams import upstream, zone

from kapi.client import Client
from kapi.resources import CONFIG_MAPS, PODS
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kdns import cli, deployed
from kdns.chain import Setup
from kdns.configured import configured
from kdns.explain import explained
from kdns.settings import Forwarding, Settings, Upstream

Json = dict[str, Any]
COREFILE = """.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa
    forward . 192.0.2.1 192.0.2.2
}
corp.example:53 {
    forward . 192.0.2.3
}
"""


def server(**container: Any) -> Json:
    meta = {"name": "dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    volume = {"name": "config", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}
    mounts = [{"name": "config", "mountPath": "/etc/coredns"}]
    spec = {"containers": [{"name": "dns", "volumeMounts": mounts, **container}], "volumes": [volume]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def told(client: Client) -> list[str] | None:
    found = await deployed.forwards(client, lambda words: configured(cli.parser().parse_known_args(words)[0]))
    if found is None:
        return None
    return [" ".join([f"{each.zone}.", *map(str, each.upstreams), *each.files]) for each in found]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([], None),
        (
            [{"image": "coredns:1.14", "args": ["-conf", "/etc/coredns/Corefile"]}],
            [". 192.0.2.1:53 192.0.2.2:53", "corp.example. 192.0.2.3:53"],
        ),
        ([{"image": "coredns:1.14", "args": ["-conf", "/elsewhere/Corefile"]}], None),
        ([{"image": "kproxy.io/kdns", "args": ["--upstream=192.0.2.9:53", "--zone=z"]}], [". 192.0.2.9:53"]),
        ([{"image": "kproxy.io/kdns", "args": ["--listen=0.0.0.0:53"]}], [". /etc/resolv.conf"]),
        ([{"image": "dnsmasq"}], None),
    ],
    ids=["no server", "CoreDNS", "another file", "kdns", "as its node does", "another server"],
)
async def test_how_the_clusters_own_server_forwards(containers: list[Json], expected: list[str] | None) -> None:
    async with ApiServer(MemoryStore()) as api:
        client = api.client()
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"}}
        await client.create(CONFIG_MAPS, {**held, "data": {"Corefile": COREFILE}})
        for container in containers:
            await client.create(PODS, server(**container))
        assert await told(client) == expected


async def explain(name: str, *upstreams: Upstream) -> str:
    settings = Settings(cluster=False, forwards=(Forwarding(upstreams=upstreams),), cache=None, timeout=0.2)
    return await explained([(("",), Setup(settings, lambda: 1.0, lambda: 1.0))], name, "A", "")


async def test_a_name_of_others_is_asked_for_and_it_is_said_where() -> None:
    async with upstream(zone("www.example 60 A 192.0.2.80")) as other:
        lines = await explain("www.example.", other.place)
    assert "1. www.example. A: NOERROR (plug-in forward)" in lines
    assert "www.example. 60 A 192.0.2.80" in lines
    assert f"it is forwarded to {other.place}\n" in lines


async def test_an_upstream_that_is_silent_is_named() -> None:
    lines = await explain("www.example.", Upstream("127.0.0.1", 9))
    assert "1. www.example. A: SERVFAIL\n" in lines
    assert "it is forwarded to 127.0.0.1:9; none of them answers here" in lines
