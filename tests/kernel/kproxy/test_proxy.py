"""A whole proxy in a namespace, told of its cluster from Python: what its node can ask of it over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from ipaddress import ip_interface
from typing import Any

import pytest

from kproxy.backends import Backend
from kproxy.backends.nftables.backend import Nftables
from kproxy.backends.userspace.backend import Userspace
from kproxy.errors import PagesNotServed
from kproxy.host import InNamespace
from kproxy.proxy import Proxy
from kproxy.settings import Settings
from kproxy.testing import endpoint_slice
from netnslab.kernel import Namespace
from netnslab.steps import Assign, Up

Json = dict[str, Any]
NODE = {
    "metadata": {"name": "here"},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
}
PAGES = Settings(healthz=("0.0.0.0", 10256), metrics=("127.0.0.1", 10249))


def service(**spec: Any) -> Json:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    given = {"clusterIP": "10.96.0.1", "type": "LoadBalancer", "ports": ports, **spec}
    return {"metadata": {"namespace": "shop", "name": "web"}, "spec": given}


def endpoints(*listed: Json, trigger: str = "") -> Json:
    made = endpoint_slice("shop/web", 4, listed, [{"name": "http", "port": 8080}])
    if trigger:
        made["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": trigger}
    return made


HERE: Json = {"addresses": ["10.0.0.1"], "nodeName": "here"}
THERE: Json = {"addresses": ["10.0.0.9"], "nodeName": "there"}


@asynccontextmanager
async def proxied(backend: Backend, namespace: Namespace, settings: Settings) -> AsyncIterator[Proxy]:
    namespace.apply([Up("lo"), Assign("lo", ip_interface("10.0.0.1/32"))])
    async with Proxy(None, "here", backend, settings=settings) as proxy:
        await proxy.apply(services=[], endpoint_slices=[], nodes=[NODE])
        yield proxy


async def ask(namespace: Namespace, address: str, port: int, text: str) -> str:
    """Send something over TCP and read everything."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.socket(family, socket.SOCK_STREAM) as opened:
        opened.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            await loop.sock_connect(opened, (address, port))
            reader, writer = await asyncio.open_connection(sock=opened)
            writer.write(text.encode())
            if not text.startswith("GET"):  # aiohttp takes half a connection for none
                writer.write_eof()
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()


async def get(namespace: Namespace, address: str, port: int, path: str = "/") -> tuple[int, dict[str, str], str]:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = (await ask(namespace, address, port, request)).partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest), body


async def is_open(namespace: Namespace, address: str, port: int) -> bool:
    try:
        await ask(namespace, address, port, "")
    except ConnectionRefusedError:
        return False
    return True


async def until_open(namespace: Namespace, address: str, port: int) -> None:
    async with asyncio.timeout(5):
        while not await is_open(namespace, address, port):  # noqa: ASYNC110  # a port opens without an event
            await asyncio.sleep(0.01)


async def until_closed(namespace: Namespace, address: str, port: int) -> None:
    async with asyncio.timeout(5):
        while await is_open(namespace, address, port):  # noqa: ASYNC110  # a port closes without an event
            await asyncio.sleep(0.01)


async def test_a_health_check_node_port_counts_ready_endpoints_here(backend: Nftables, namespace: Namespace) -> None:
    asked = service(externalTrafficPolicy="Local", healthCheckNodePort=32000)
    async with proxied(backend, namespace, Settings()) as proxy:
        await proxy.apply(services=[asked], endpoint_slices=[endpoints(HERE, THERE)])
        await until_open(namespace, "10.0.0.1", 32000)
        status, headers, body = await get(namespace, "10.0.0.1", 32000, "/anything")
        assert (status, headers["X-Load-Balancing-Endpoint-Weight"]) == (200, "1")
        assert json.loads(body) == {
            "service": {"namespace": "shop", "name": "web"},
            "localEndpoints": 1,
            "serviceProxyHealthy": True,
        }
        leaving = {**HERE, "conditions": {"ready": False, "serving": True, "terminating": True}}
        await proxy.apply(services=[asked], endpoint_slices=[endpoints(leaving, THERE)])
        status, headers, _ = await get(namespace, "10.0.0.1", 32000)
        assert (status, headers["X-Load-Balancing-Endpoint-Weight"]) == (503, "0")
        await proxy.apply(services=[service()], endpoint_slices=[endpoints(HERE)])
        await until_closed(namespace, "10.0.0.1", 32000)


async def test_health_tells_of_the_node_and_life_does_not(backend: Nftables, namespace: Namespace) -> None:
    async with proxied(backend, namespace, PAGES) as proxy:
        status, _, body = await get(namespace, "127.0.0.1", 10256, "/healthz")
        assert status == 200
        assert json.loads(body).keys() == {"lastUpdated", "currentTime", "nodeEligible"}
        doomed = {**NODE, "spec": {"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]}}
        await proxy.apply(services=[], endpoint_slices=[], nodes=[doomed])
        assert (await get(namespace, "127.0.0.1", 10256, "/healthz"))[0] == 503
        assert (await get(namespace, "127.0.0.1", 10256, "/livez"))[0] == 200
        assert (await get(namespace, "127.0.0.1", 10256, "/else"))[0] == 404
        metrics = (await get(namespace, "127.0.0.1", 10249, "/metrics"))[2]
        assert 'kubeproxy_proxy_healthz_total{code="503"} 1' in metrics
        assert 'kubeproxy_proxy_livez_total{code="200"} 1' in metrics


async def test_a_change_that_waits_too_long_fails_both(
    backend: Nftables, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxied(backend, namespace, Settings(healthz=("127.0.0.1", 10256), stuck_seconds=0.05)) as proxy:
        never = asyncio.Event()

        async def stuck(_: object) -> dict[str, str]:
            await never.wait()
            return {}

        monkeypatch.setattr(backend, "commit", stuck)
        applied = asyncio.create_task(proxy.apply(services=[service()], endpoint_slices=[]))
        await asyncio.sleep(0.2)
        assert (await get(namespace, "127.0.0.1", 10256, "/healthz"))[0] == 503
        assert (await get(namespace, "127.0.0.1", 10256, "/livez"))[0] == 503
        never.set()
        await applied
        assert (await get(namespace, "127.0.0.1", 10256, "/livez"))[0] == 200


async def test_metrics_have_kube_proxys_names(backend: Nftables, namespace: Namespace) -> None:
    async with proxied(backend, namespace, PAGES) as proxy:
        local = service(externalTrafficPolicy="Local")
        await proxy.apply(services=[local], endpoint_slices=[endpoints(THERE, trigger="2026-01-01T00:00:00.5Z")])
        assert (await get(namespace, "127.0.0.1", 10249, "/proxyMode"))[2] == "nftables"
        status, headers, body = await get(namespace, "127.0.0.1", 10249, "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        values = dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
        assert values["kubeproxy_sync_full_proxy_rules_duration_seconds_count"] == "1"
        assert values["kubeproxy_sync_partial_proxy_rules_duration_seconds_count"] == "1"
        assert values['kubeproxy_network_programming_duration_seconds_bucket{le="300"}'] == "0"
        assert values["kubeproxy_network_programming_duration_seconds_count"] == "1"
        assert values["kubeproxy_sync_proxy_rules_service_changes_total"] == "1"
        assert values["kubeproxy_sync_proxy_rules_endpoint_changes_pending"] == "0"
        assert values['kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external"}'] == "1"
        assert values["kubeproxy_sync_proxy_rules_nftables_sync_failures_total"] == "0"


async def test_a_forwarder_has_the_same_pages(namespace: Namespace) -> None:
    with closing(Userspace(InNamespace(namespace.fd))) as backend:
        async with proxied(backend, namespace, PAGES) as proxy:
            checked = service(externalTrafficPolicy="Local", healthCheckNodePort=32000)
            await proxy.apply(services=[checked], endpoint_slices=[endpoints(HERE)])
            assert (await get(namespace, "127.0.0.1", 10256, "/healthz"))[0] == 200
            assert (await get(namespace, "127.0.0.1", 10249, "/proxyMode"))[2] == "userspace"
            await until_open(namespace, "10.0.0.1", 32000)
            assert (await get(namespace, "10.0.0.1", 32000))[0] == 200


async def test_a_page_that_cannot_be_served_ends_the_proxy_with_a_sentence(
    backend: Nftables, namespace: Namespace
) -> None:
    namespace.apply([Up("lo")])
    settings = Settings(healthz=("127.0.0.1", 10256), metrics=("127.0.0.1", 10256))
    async with Proxy(None, "here", backend, settings=settings) as proxy:
        with pytest.raises(PagesNotServed, match=r"127\.0\.0\.1:10256 cannot be served"):
            await proxy.apply(services=[], endpoint_slices=[])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_node_ports_answer_on_localhost_without_route_localnet(
    backend: Nftables, namespace: Namespace, address: str
) -> None:
    family = 6 if ":" in address else 4
    endpoint = "fd00::1" if family == 6 else "10.0.0.1"
    namespace.apply([Up("lo"), Assign("lo", ip_interface("fd00::1/128"))])

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{writer.get_extra_info('peername')[0]} said ".encode() + await reader.read())
        writer.close()

    async with proxied(backend, namespace, Settings(node_port_addresses=("primary", "localhost"))) as proxy:
        opened = namespace.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)
        opened.bind((endpoint, 8080))
        async with await asyncio.start_server(echo, sock=opened):
            both = service(clusterIPs=["10.96.0.1", "fd96::1"])
            made = endpoint_slice("shop/web", family, [{"addresses": [endpoint]}], [{"name": "http", "port": 8080}])
            await proxy.apply(services=[both], endpoint_slices=[made])
            await until_open(namespace, address, 30080)
            assert await ask(namespace, address, 30080, "hello") == f"{endpoint} said hello"
            await proxy.apply(services=[], endpoint_slices=[])
            await until_closed(namespace, address, 30080)


async def test_what_the_kernel_refuses_is_returned_and_what_is_the_same_costs_nothing(
    backend: Nftables, namespace: Namespace
) -> None:
    async with proxied(backend, namespace, Settings()) as proxy:
        world = {"services": [service()], "endpoint_slices": [endpoints(HERE)]}
        assert await proxy.apply(**world) == {}
        before = proxy.metrics.last_synced
        assert await proxy.apply(**world) == {}
        assert proxy.metrics.last_synced == before


async def test_rules_that_somebody_flushes_come_back_and_connections_go_on(
    backend: Nftables, namespace: Namespace
) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with proxied(backend, namespace, Settings(drift_seconds=0.1)) as proxy:
        namespace.apply([Assign("lo", ip_interface("10.96.0.1/32"))])  # a way there: the kernel must have a route
        opened = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.bind(("10.0.0.1", 8080))
        async with await asyncio.start_server(echo, sock=opened):
            await proxy.apply(services=[service()], endpoint_slices=[endpoints(HERE)])
            with namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, ("10.96.0.1", 80))
                host = backend.host
                assert host is not None
                assert host.run(["nft", "flush", "ruleset"]).returncode == 0
                async with asyncio.timeout(10):
                    while b"shop/web" not in host.run(["nft", "list", "ruleset"]).stdout:  # noqa: ASYNC110  # rules return without an event
                        await asyncio.sleep(0.02)
                await loop.sock_sendall(client, b"still here")
                assert await loop.sock_recv(client, 100) == b"still here"
                assert await ask(namespace, "10.96.0.1", 80, "again") == "again"
