"""Rules told in words and written as text: golden, because people read them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from kproxy.backends.memory import Memory
from kproxy.model import LocalTraffic
from kproxy.rules.evaluate import Packet
from kproxy.rules.explain import explain
from kproxy.settings import Settings
from kproxy.testing import Cluster, endpoint_slice

SETTINGS = Settings(local_traffic=LocalTraffic(networks=(ip_network("10.244.0.0/16"),)))
WEB = {
    "metadata": {"namespace": "default", "name": "web"},
    "spec": {"clusterIPs": ["10.96.0.1"], "ports": [{"name": "http", "port": 80}]},
}


async def explained(source: str, port: int, *endpoints: str, interface: str = "eth0") -> str:
    written = [{"addresses": [address], "nodeName": "here"} for address in endpoints]
    cluster = Cluster((WEB,), (endpoint_slice("default/web", 4, written, [{"name": "http", "port": 8080}]),))
    backend = Memory()
    await cluster.put_in_place(backend, "here", SETTINGS)
    packet = Packet(ip_address(source), ip_address("10.96.0.1"), "tcp", port, interface)
    return explain(backend.ruleset(), packet, backend.evaluate(packet))


async def test_a_pod_is_told_its_chances() -> None:
    lines = (await explained("10.244.1.9", 80, "10.244.1.2", "10.244.1.3")).splitlines()
    assert lines[0] == "A new tcp connection in through eth0, 10.244.1.9 to 10.96.0.1 port 80:"
    assert lines[2] == (
        "- tcp-frontends sends it to tcp-cluster-2 for Service port default/web:http"
        "   [ip kproxy services, rule 1: ip daddr . tcp dport vmap @tcp-frontends]"
    )
    assert lines[4] == ("50.0%: it goes to the endpoint 10.244.1.2:8080; the endpoint sees the client's own address")


async def test_an_outsider_is_told_of_the_masquerade() -> None:
    told = await explained("198.51.100.10", 80, "10.244.1.2")
    assert "marks it for masquerading" in told
    assert "the endpoint sees the node's address (masqueraded)" in told


async def test_a_refusal_names_the_service_port() -> None:
    told = await explained("10.244.1.9", 80)
    assert "tcp-frontends-without-endpoints sends it to reject-it for Service port default/web:http" in told
    assert "it is refused at once" in told


async def test_a_port_the_service_lacks_says_so() -> None:
    assert "a port the Service does not have" in await explained("10.244.1.9", 81, "10.244.1.2")
