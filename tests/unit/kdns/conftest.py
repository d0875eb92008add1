"""A cluster in which every kind of name occurs."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from kdns.chain import Chain, Setup, load
from kdns.settings import Settings
from kdns.testing import HandFed, endpoint_slice, namespace, service

OBJECTS: list[dict[str, Any]] = [
    namespace("default"),
    namespace("shop"),
    namespace("kube-system"),
    service("kube-dns", namespace="kube-system", ips=["10.96.0.10"], ports=["dns:53/UDP", "dns-tcp:53"]),
    endpoint_slice("kube-dns-1", "kube-dns", ["10.244.1.53"], namespace="kube-system", ports=["dns:53/UDP"]),
    service("web", ips=["10.96.0.7"], ports=["http:80", "dns:53/UDP"]),
    endpoint_slice("web-1", "web", ["10.244.1.2", "10.244.2.2"], ports=["http:8080", "dns:53/UDP"]),
    service("dual", ips=["10.96.0.8", "fd96::8"], ports=["http:80"]),
    service("plain", ips=["10.96.0.9"], ports=[":80"]),
    service("empty", ips=["10.96.0.11"], ports=["http:80"]),
    service("db", ports=["pg:5432"]),
    endpoint_slice(
        "db-1",
        "db",
        [
            {"addresses": ["10.244.1.3"], "hostname": "db-0"},
            {"addresses": ["10.244.2.3"], "hostname": "db-1"},
            {"addresses": ["10.244.2.4"], "conditions": {"ready": False}, "hostname": "db-2"},
        ],
        ports=["pg:15432"],
    ),
    service("six", ports=["http:80"]),
    endpoint_slice("six-1", "six", [f"10.244.3.{n}" for n in range(1, 7)], ports=["http:80"]),
    service("waiting", ports=["http:80"]),
    endpoint_slice("waiting-1", "waiting", [{"addresses": ["10.244.1.9"], "conditions": {"ready": False}}]),
    service("eager", publishNotReadyAddresses=True),
    endpoint_slice("eager-1", "eager", [{"addresses": ["10.244.1.9"], "conditions": {"ready": False}}]),
    service("both", ports=["http:80"]),
    endpoint_slice("both-4", "both", ["10.244.4.1"], ports=["http:80"]),
    endpoint_slice("both-6", "both", ["fd44::"], ports=["http:80"], family=6),
    service("also", ports=["http:80"]),
    endpoint_slice("also-1", "also", ["10.244.4.1"], ports=["http:80"]),
    service("shared"),
    endpoint_slice(
        "shared-4", "shared", [{"addresses": [f"10.244.5.{n}"], "hostname": "pair"} for n in (1, 2)], family=4
    ),
    endpoint_slice("shared-6", "shared", [{"addresses": ["fd44::5"], "hostname": "pair"}], family=6),
    service("nameless", ports=[":7000"]),
    endpoint_slice("nameless-1", "nameless", ["10.244.6.1"], ports=[":7000"]),
    service("numberless"),
    endpoint_slice("numberless-1", "numberless", ["10.244.6.2"]) | {"ports": [{"name": "all"}]},
    endpoint_slice("orphan-1", "orphan", ["10.96.0.77"], ports=["http:80"]),
    service("again", ports=["http:80"]),
    *(endpoint_slice(f"again-{n}", "again", ["10.244.7.1"], ports=["http:80"]) for n in (1, 2)),
    service("own", ips=["10.96.0.12"], ports=["http:80"]),
    service("points-at-own"),
    endpoint_slice("points-at-own-1", "points-at-own", ["10.96.0.12"]),
    service("inside", external="web.default.svc.cluster.local"),
    service("twice", external="inside.default.svc.cluster.local."),
    service("nowhere", external="gone.default.svc.cluster.local"),
    service("outside", external="db.example"),
    endpoint_slice("outside-1", "outside", ["10.96.0.78"], ports=["http:80"]),
    service("ring", external="ring.default.svc.cluster.local"),
    service("ring-1", external="ring-2.default.svc.cluster.local"),
    service("ring-2", external="ring-3.default.svc.cluster.local"),
    service("ring-3", external="RING-1.default.svc.cluster.local."),
    service("into-ring", external="ring-1.default.svc.cluster.local"),
    service("below", external="x.below.default.svc.cluster.local"),
    service("address", external="10.0.0.1"),
]


@pytest.fixture(scope="session")
def objects() -> list[dict[str, Any]]:
    return OBJECTS


@pytest.fixture
def source() -> HandFed:
    return HandFed()


@pytest.fixture
def settings() -> Settings:
    return Settings(
        reverse=(ip_network("10.96.0.0/16"), ip_network("fd96::/112")),
        records=(("db.example", ip_address("10.0.0.5")),),
        addresses=(ip_address("10.244.1.53"),),
    )


@pytest.fixture
async def chain(source: HandFed, settings: Settings) -> Chain:
    """The chain that serves the cluster above."""
    made = load(Setup(settings, lambda: 1_700_000_000.0, time.monotonic, source))
    source.sync_all(OBJECTS)
    return made
