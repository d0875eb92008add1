"""What there is in every cluster before anybody has written anything."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from kapi.client import Client
from kapi.errors import AlreadyExists, ApiError, NotFound
from kapi.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    SERVICE_ACCOUNTS,
    SERVICE_CIDRS,
    SERVICES,
    Resource,
)
from kapi.server.settings import Settings

Json = dict[str, Any]

log = logging.getLogger(__name__)

NAMESPACES_AT_START = ("default", "kube-system", "kube-public", "kube-node-lease")
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


async def make(client: Client, settings: Settings) -> None:
    """Create the namespaces that people expect, and the `kubernetes` Service, if they are not there."""
    for name in NAMESPACES_AT_START:
        await _ensure(client, NAMESPACES, {"metadata": {"name": name}})
        await _ensure(client, SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
    await _ensure(client, SERVICES, _service(settings))
    cidrs = [str(network) for network in settings.service_cidrs]
    await _ensure(client, SERVICE_CIDRS, {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}})
    await _ensure(client, CONFIG_MAPS, _token_tracking(settings))
    await publish(client, settings)


async def keep(client: Client, settings: Settings, *, every: float = 10.0) -> None:
    """Make all of it again, for ever, whenever somebody has deleted or changed it; `every` is in seconds."""
    while True:
        await asyncio.sleep(every)
        try:
            await make(client, settings)
        except ApiError as error:
            log.warning("what every cluster has could not be made again: %s", error)


async def publish(client: Client, settings: Settings) -> None:
    """Write where the API is reached into the endpoints of the `kubernetes` Service."""
    family = settings.service_cidrs[0].version
    addresses = [str(address) for address in settings.advertise if address.version == family]
    await _put(client, ENDPOINTS, _endpoints(addresses, settings.port))
    await _put(client, ENDPOINT_SLICES, _slice(addresses, family, settings.port))


async def _ensure(client: Client, resource: Resource, obj: Json) -> None:
    try:
        await client.get(resource, obj["metadata"]["name"], obj["metadata"].get("namespace"))
    except NotFound:
        await _create(client, resource, obj)


async def _create(client: Client, resource: Resource, obj: Json) -> None:
    try:
        await client.create(resource, obj)
    except AlreadyExists:
        return  # another server that shares the store was quicker


async def _put(client: Client, resource: Resource, obj: Json) -> None:
    try:
        await client.update(resource, obj)
    except NotFound:
        await _create(client, resource, obj)


def _token_tracking(settings: Settings) -> Json:
    """Controllers read here since when the use of old tokens is noted."""
    meta = {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"}
    return {"metadata": meta, "data": {"since": settings.clock().strftime("%Y-%m-%d")}}


def _service(settings: Settings) -> Json:
    address = str(settings.service_cidrs[0].network_address + 1)
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": settings.port}
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": _LABELS},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": [port]},
    }


def _endpoints(addresses: list[str], port: int) -> Json:
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    subset = {"addresses": [{"ip": address} for address in addresses], "ports": ports}
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "subsets": [subset] if addresses else [],
    }


def _slice(addresses: list[str], family: int, port: int) -> Json:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": f"IPv{family}",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
