"""Names of others are asked for where the cluster's own DNS server would ask, and it is said where that is."""

from __future__ import annotations

from typing import Any

import dnslib
import pytest
from tests.upstreams import upstream, zone

from kapi.client import Client
from kapi.resources import CONFIG_MAPS, PODS
from kapi.server import ApiServer
from kapi.store.memory import MemoryStore
from kdns import cli, deployed
from kdns.chain import Setup
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
    found = await deployed.forwards(client, cli.by_words)
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
        ([{"image": "kproxy.io/kdns", "args": ["--upstream", "192.0.2.9", "--ttl", "9"]}], [". 192.0.2.9:53"]),
        (
            [{"image": "kproxy.io/kdns", "command": ["python3", "-m", "kdns"], "args": ["--upstream", "192.0.2.9"]}],
            [". 192.0.2.9:53"],
        ),
        ([{"image": "kproxy.io/kdns", "args": ["--upstream", "nobody"]}], None),
        ([{"image": "kproxy.io/kdns", "args": ["--help"]}], None),
        ([{"image": "kproxy.io/kdns", "command": ["sh", "-c", "kdns --no-forward"]}], None),
        ([{"image": "kproxy.io/kdns", "args": ["--listen=0.0.0.0:53"]}], [". /etc/resolv.conf"]),
        ([{"image": "dnsmasq"}], None),
    ],
    ids=[
        *("no server", "CoreDNS", "another file", "kdns", "words apart", "the program named", "no upstream", "help"),
        *("a shell", "as its node does", "another server"),
    ],
)
async def test_how_the_clusters_own_server_forwards(containers: list[Json], expected: list[str] | None) -> None:
    async with ApiServer(MemoryStore()) as api:
        client = api.client()
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"}}
        await client.create(CONFIG_MAPS, {**held, "data": {"Corefile": COREFILE}})
        for container in containers:
            await client.create(PODS, server(**container))
        assert await told(client) == expected


async def test_it_is_said_why_how_the_clusters_own_server_forwards_cannot_be_told(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with ApiServer(MemoryStore()) as api:
        await api.client().create(PODS, server(image="kproxy.io/kdns", args=["--upstream", "no body"]))
        assert await told(api.client()) is None
    (message,) = caplog.messages
    assert message.startswith("how container dns of pod dns forwards cannot be told: its command line --upstream 'no b")
    assert "argument --upstream: 'no body'" in message
    assert capsys.readouterr().err == "", "it is no error of the command that was given"


async def explain(name: str, *upstreams: Upstream) -> str:
    settings = Settings(cluster=False, forwards=(Forwarding(upstreams=upstreams),), cache=None, timeout=0.2)
    return await explained([(("",), Setup(settings, lambda: 1.0, lambda: 1.0))], name, "A", "")


async def test_a_name_of_others_is_asked_for_and_it_is_said_where() -> None:
    async with upstream(zone("www.example 60 A 192.0.2.80")) as other:
        lines = await explain("www.example.", other.place)
    assert "1. www.example. A: NOERROR (plug-in forward)" in lines
    assert "www.example. 60 A 192.0.2.80" in lines
    assert f"it is forwarded to {other.place}\n     asked from this host" in lines


async def test_an_upstream_that_is_silent_is_named() -> None:
    lines = await explain("www.example.", Upstream("127.0.0.1", 9))
    assert "1. www.example. A: SERVFAIL\n" in lines
    assert "it is forwarded to 127.0.0.1:9; none of them answers here" in lines


def failing(query: dnslib.DNSRecord) -> list[bytes]:
    answer = query.reply()
    answer.header.rcode = dnslib.RCODE.SERVFAIL
    return [bytes(answer.pack())]


async def test_an_upstream_that_replies_that_it_fails_is_not_called_silent() -> None:
    async with upstream(failing) as other:
        lines = await explain("www.example.", other.place, Upstream("127.0.0.1", 9))
    assert "1. www.example. A: SERVFAIL" in lines
    assert f"it is forwarded to {other.place}, 127.0.0.1:9; SERVFAIL is what {other.place} replies\n" in lines


async def test_who_replied_before_is_not_said_to_have_replied_again() -> None:
    def once(query: dnslib.DNSRecord) -> list[bytes]:
        return [] if str(query.q.qname) == "www." else [bytes(query.reply().pack())]

    async with upstream(once) as other:
        lines = await explain("www", other.place)
    assert "4. www. A: SERVFAIL" in lines
    assert lines.splitlines()[-3].endswith("none of them answers here")
