"""Services, Pods and slices for the tests of the endpoints controller, short to write."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from kapi.network import ContainerPort, Endpoint, EndpointSlice, Node, Pod, Protocol, Service, ServicePort, ServiceType
from kendpoints.pack import Changes

TCP = Protocol.TCP
HTTP = ServicePort("http", TCP, 80, "http")


class Build:
    """Makes values with sensible defaults; every argument is a field."""

    @staticmethod
    def service(name: str = "web", **fields: Any) -> Service:
        given: dict[str, Any] = {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "type": ServiceType.CLUSTER_IP,
            "headless": False,
            "cluster_ips": (ip_address("10.96.0.5"),),
            "ports": (HTTP,),
            "selector": {"app": "web"},
            "ip_families": (4,),
            "created": "2026-01-01T00:00:00Z",
        }
        return Service(**(given | fields))

    @staticmethod
    def pod(number: int = 1, **fields: Any) -> Pod:
        given: dict[str, Any] = {
            "namespace": "default",
            "name": f"web-{number:04}",
            "uid": f"uid-{number}",
            "phase": "Running",
            "ips": (ip_address(f"10.244.{number // 250}.{number % 250 + 1}"),),
            "node_name": "a",
            "ready": True,
            "labels": {"app": "web"},
            "ports": (ContainerPort("http", TCP, 8080),),
        }
        return Pod(**(given | fields))

    @staticmethod
    def pods(count: int, start: int = 1) -> list[Pod]:
        return [Build.pod(number) for number in range(start, start + count)]

    @staticmethod
    def nodes(**zones: str) -> dict[str, Node]:
        zones = zones or {"a": ""}
        labels = {name: {"topology.kubernetes.io/zone": zone} if zone else {} for name, zone in zones.items()}
        return {name: Node(name, f"uid-{name}", labels=labels[name]) for name in zones}

    @staticmethod
    def written(changes: Changes, existing: list[EndpointSlice] | None = None) -> list[EndpointSlice]:
        """Give the slices as they are after the changes were written."""
        gone = {one.name for one in (*changes.delete, *changes.update)}
        kept = [one for one in existing or [] if one.name not in gone]
        taken = {one.name for one in kept} | {one.name for one in changes.update}
        names = (name for n in range(10_000) if (name := f"s{n:03}") not in taken)
        made = [replace(one, name=name, uid=name) for one, name in zip(changes.create, names, strict=False)]
        return [*kept, *changes.update, *made]

    @staticmethod
    def addresses(slices: list[EndpointSlice]) -> list[str]:
        return sorted(str(endpoint.addresses[0]) for one in slices for endpoint in one.endpoints)

    @staticmethod
    def endpoint(number: int, **fields: Any) -> Endpoint:
        return Endpoint((ip_address(f"10.0.{number // 250}.{number % 250 + 1}"),), **fields)


@pytest.fixture(scope="session")  # it keeps nothing, and hypothesis may use it
def build() -> type[Build]:
    return Build
