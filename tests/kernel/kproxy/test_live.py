"""`kproxy explain --live`: what the kernel did with a connection, rule by rule, beside what the rules foretell."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from kproxy import live
from kproxy.backends.nftables import seen
from kproxy.backends.nftables.backend import Nftables
from kproxy.errors import ProxyError
from kproxy.host import InNamespace
from kproxy.question import Question
from kproxy.rules.evaluate import Ending
from kproxy.settings import Settings
from kproxy.testing import Cluster, endpoint_slice
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Route, Sysctl, Up, Veth

NODE, POD, SERVER, VIP = "172.30.0.11", "10.244.1.3", "10.244.1.2", "10.96.0.1"
NODE_OBJECT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "here"},
    "spec": {"podCIDRs": ["10.244.1.0/24"]},
    "status": {"addresses": [{"type": "InternalIP", "address": NODE}]},
}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": "shop", "name": "web"},
    "spec": {"clusterIPs": [VIP], "ports": [{"name": "http", "port": 80}]},
}
SLICE = endpoint_slice("shop/web", 4, [{"addresses": [SERVER], "nodeName": "here"}], [{"name": "http", "port": 8080}])
CLUSTER = Cluster((SERVICE,), (SLICE,), NODE_OBJECT)
SOMEBODY = "table inet somebody { chain input { type filter hook forward priority -5; tcp dport 8080 counter drop; }; }"


def nft(namespace: Namespace, *words: str, given: str = "") -> str:
    with namespace.entered():
        return subprocess.run(["nft", *words], input=given, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def pod(namespace: Namespace) -> Iterator[Namespace]:
    """A pod beside a server, on the node that is `namespace`."""
    with Namespace.create() as client, Namespace.create() as server:
        namespace.apply([Up("lo"), Sysctl("net/ipv4/ip_forward", "1"), Assign("lo", ip_interface(f"{NODE}/32"))])
        for name, there, at in (("client", client, POD), ("server", server, SERVER)):
            namespace.apply([Veth(f"v-{name}", name, "eth0")], {name: there})
            namespace.apply([Assign(f"v-{name}", ip_interface("10.244.1.1/32"))])
            namespace.apply([Route(ip_network(at), link=f"v-{name}")])
            there.apply([Up("lo"), Assign("eth0", ip_interface(f"{at}/32"))])
            gateway = ip_address("10.244.1.1")
            there.apply([Route(ip_network("0.0.0.0/0"), link="eth0", via=(gateway,), onlink=True)])
        namespace.apply([Route(ip_network("10.96.0.0/16"), link="v-server")])  # what no rule takes is routed somewhere
        with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
            listening.bind((SERVER, 8080))
            listening.listen()
            yield client


def connect(client: Namespace, port: int) -> None:
    with client.socket(socket.AF_INET, socket.SOCK_STREAM) as asking, suppress(OSError):
        asking.settimeout(0.5)
        asking.connect((VIP, port))


@contextmanager
def connecting(client: Namespace, port: int) -> Iterator[None]:
    """Connect again and again, as somebody would who waits for an answer."""
    over = asyncio.Event()

    async def again() -> None:
        while not over.is_set():
            await asyncio.to_thread(connect, client, port)
            await asyncio.sleep(0.05)

    task = asyncio.ensure_future(again())
    try:
        yield
    finally:
        over.set()
        task.cancel()


async def watched(backend: Nftables, client: Namespace, port: int, cluster: Cluster = CLUSTER) -> seen.Way:
    """The way of a connection from the pod to the Service."""
    await cluster.put_in_place(backend, "here", Settings())
    assert backend.host is not None
    return await seen_by(backend, client, port)


async def seen_by(backend: Nftables, client: Namespace, port: int) -> seen.Way:
    assert backend.host is not None
    asked = Question(ip_address(POD), ip_address(VIP), "tcp", port, "v-client")
    with connecting(client, port):
        sightings, known = await asyncio.to_thread(live.watch, asked, backend.host, 10.0)
    outcome = backend.evaluate(asked.packet(frozenset({ip_address(NODE)})))
    return seen.way(sightings, known, backend.ruleset(), outcome)


def chains(way: seen.Way) -> Sequence[str]:
    return [met.sighting.chain for met in way.met]


async def test_every_rule_that_took_the_packet_is_named(
    backend: Nftables, pod: Namespace, namespace: Namespace
) -> None:
    way = await watched(backend, pod, 80)
    assert chains(way) == ["nat-prerouting", "services", "tcp-cluster-1"]
    assert (way.ending, str(way.destination), way.port) == (Ending.ENDPOINT, SERVER, 8080)
    assert (way.masqueraded, way.foretold) == (False, True)
    told = seen.told(way)
    assert "- goes to tcp-cluster-1 for Service port shop/web:http   [ip kproxy services, rule 1, handle " in told
    assert "it went to the endpoint 10.244.1.2:8080; the endpoint sees the client's own address" in told
    assert "The rules foretell that." in told
    listed = nft(namespace, "-a", "list", "ruleset")
    handles = {met.sighting.handle for met in way.met if met.rule}
    assert all(f"# handle {handle}\n" in listed for handle in handles)
    assert "kproxy-trace" not in listed


async def test_a_refusal_names_the_rule(backend: Nftables, pod: Namespace) -> None:
    way = await watched(backend, pod, 81)
    assert (way.ending, way.foretold) == (Ending.REJECT, True)
    assert "- rejects it, since the destination address is in cluster-ips   [ip kproxy absent, rule 4" in seen.told(way)


async def test_somebody_elses_rule_is_named_as_such(backend: Nftables, pod: Namespace, namespace: Namespace) -> None:
    nft(namespace, "-f", "-", given=SOMEBODY)
    way = await watched(backend, pod, 80)
    assert (way.ending, way.foretold) == (Ending.DROP, False)
    told = seen.told(way)
    assert "drops it   [inet somebody input, rule 1, handle " in told
    assert "That is not what the rules of this cluster foretell." in told


async def test_a_rule_that_the_cluster_does_not_ask_for_is_noticed(
    backend: Nftables, pod: Namespace, namespace: Namespace
) -> None:
    await CLUSTER.put_in_place(backend, "here", Settings())
    nft(namespace, "-f", "-", given="insert rule ip kproxy services tcp dport 80 drop\n")
    way = await seen_by(backend, pod, 80)
    assert (way.ending, way.foretold) == (Ending.DROP, False)
    assert "rule 1, handle" in seen.told(way)
    assert "none of kproxy's for this cluster" in seen.told(way)


async def test_nothing_in_time_is_told_and_leaves_nothing(namespace: Namespace) -> None:
    asked = Question(ip_address(POD), ip_address(VIP), "tcp", 80)
    with pytest.raises(ProxyError, match=r"no new connection by tcp from 10\.244\.1\.3 .* within 0\.1 s"):
        await asyncio.to_thread(live.watch, asked, InNamespace(namespace.fd), 0.1)
    assert nft(namespace, "list", "ruleset") == ""


def explaining(node: Namespace, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kproxy", "explain", POD, VIP, "80", "--manifests", str(folder)]
    pipe = subprocess.PIPE
    with node.entered():
        return subprocess.Popen(
            [*command, "--node-name", "here", "--live", "20", "--json"], stdout=pipe, stderr=pipe, text=True
        )


async def test_the_command_tells_both(backend: Nftables, pod: Namespace, namespace: Namespace, tmp_path: Path) -> None:
    await CLUSTER.put_in_place(backend, "here", Settings())
    (tmp_path / "cluster.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [NODE_OBJECT, SERVICE, SLICE]})
    )
    running = explaining(namespace, tmp_path)
    with running, connecting(pod, 80):
        out, said = await asyncio.to_thread(running.communicate)
    assert running.returncode == 0, said
    assert "make one now" in said
    found = json.loads(out)
    assert found["possibilities"][0]["ending"] == "endpoint"
    assert found["live"]["foretold"]
    steps = {step["chain"]: step for step in found["live"]["steps"]}
    assert (steps["services"]["table"], steps["services"]["servicePort"]) == ("kproxy", "shop/web:http")
    assert steps["tcp-cluster-1"]["did"] == "leads it to an endpoint"
