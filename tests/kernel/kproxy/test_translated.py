"""A connection that was translated to an endpoint is not refused for what else has the endpoint's address and port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from tests.conformance.stage import ADDRESSES, NODE, POD_NETWORKS, SERVICE_NETWORKS, Stage, address, node_addresses

from kproxy.backends import load
from kproxy.host import InNamespace
from kproxy.model import LocalTraffic
from kproxy.rules.evaluate import Ending, Packet
from kproxy.settings import Settings
from kproxy.testing import Cluster, endpoint_slice
from netnslab.errors import KernelError

SETTINGS = Settings(
    local_traffic=LocalTraffic(networks=tuple(ip_network(n) for n in POD_NETWORKS.values())),
    service_cidrs=tuple(ip_network(n) for n in SERVICE_NETWORKS.values()),
)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    try:
        made.build()
    except (KernelError, PermissionError) as error:
        made.close()
        pytest.skip(f"network namespaces cannot be made here: {error}")
    yield made
    made.close()


def cluster(family: int, endpoint: str) -> Cluster:
    """A Service with one endpoint, and two others without any that ask for the endpoint's address and port."""
    places = ADDRESSES[family]
    web = {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"clusterIPs": [places["clusterIP"]], "ports": [{"name": "http", "port": 80}]},
    }
    trap = {
        "metadata": {"namespace": "default", "name": "trap"},
        "spec": {
            "clusterIPs": [places["clusterIP2"]],
            "externalIPs": [places[endpoint]],
            "ports": [{"name": "http", "port": 8080}],
        },
    }
    ports = {
        "metadata": {"namespace": "default", "name": "ports"},
        "spec": {"type": "NodePort", "clusterIPs": [], "ports": [{"port": 81, "nodePort": 8080}]},
    }
    listed = [{"addresses": [places[endpoint]], "nodeName": NODE}]
    node = {"metadata": {"name": NODE}, "status": {"addresses": [{"type": "InternalIP", "address": places["node"]}]}}
    piece = endpoint_slice("default/web", family, listed, [{"name": "http", "port": 8080}])
    return Cluster((web, trap, ports), (piece,), node)


@pytest.mark.parametrize("endpoint", ["L", "node"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("mode", ["nftables", "iptables-nft", "iptables-legacy"])
async def test_an_endpoint_whose_place_is_a_frontend_without_endpoints_is_reached(
    stage: Stage, mode: str, family: int, endpoint: str
) -> None:
    backend = load(mode)(InNamespace(stage.namespaces["node"].fd))
    if missing := backend.missing():
        pytest.skip(missing)
    try:
        await cluster(family, endpoint).put_in_place(backend, NODE, SETTINGS)
        service, place = address("clusterIP", family), address(endpoint, family)
        for client in ("pod", "node", "outside"):
            interface = "" if client == "node" else f"v-{client}"
            sender, own = address(client, family), node_addresses(family)
            outcome = backend.evaluate(Packet(sender, service, "tcp", 80, interface, own))
            assert outcome.endpoints() == {(place, 8080): 1}, client
            answer = await asyncio.to_thread(stage.ask, client, service, 80, "TCP")
            assert answer.startswith(f"{endpoint} 8080 "), (client, answer)
            direct = backend.evaluate(Packet(sender, place, "tcp", 8080, interface, own))
            assert direct.endings() == {Ending.REJECT}, client
        assert await asyncio.to_thread(stage.ask, "pod", place, 8080, "TCP", patience=4) == "reject"
    finally:
        await backend.clear()
        backend.close()
