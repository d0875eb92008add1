"""For tests, here and elsewhere: a cluster fed by hand, and questions asked without sockets.

source = HandFed()
chain = load(Setup(Settings(), clock, clock, source))
source.sync(SERVICES, service("web", ips=["10.96.0.7"], ports=["http:80"]))
reply = await ask(chain, "web.default.svc.cluster.local", "A")     # a dnslib.DNSRecord
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

import dnslib

from kapi.cache import Cache, Decode
from kapi.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES, Resource
from kdns.chain import Chain
from kdns.query import Query
from kdns.responder import Responder

Json = dict[str, Any]
T = TypeVar("T")


class HandFed:
    """A `kapi.source.Source` whose caches hold what a test puts into them."""

    def __init__(self) -> None:
        self._caches: dict[tuple[Resource, Any], Cache[Any]] = {}

    def cache(self, resource: Resource, decode: Decode[T]) -> Cache[T]:
        """See `Source.cache`."""
        return self._caches.setdefault((resource, decode), Cache(resource, decode))

    async def run(self) -> None:
        """See `Source.run`: nothing comes by itself."""
        await asyncio.Event().wait()

    def sync(self, resource: Resource, *objects: Json) -> None:
        """Make `objects` the complete state of a resource."""
        for cache in self._of(resource):
            cache.replace(list(objects))

    def put(self, resource: Resource, obj: Json) -> None:
        """Add or change one object."""
        for cache in self._of(resource):
            cache.put(obj)

    def synced(self, resource: Resource) -> None:
        """Say that all there is of a resource has been put."""
        for cache in self._of(resource):
            cache.mark_synced()

    def remove(self, resource: Resource, key: str) -> None:
        """Take one object away."""
        for cache in self._of(resource):
            cache.remove(key)

    def sync_all(self, objects: Iterable[Json]) -> None:
        """Make `objects`, told apart by their kinds, the complete state of everything."""
        every = list(objects)
        for resource in (NAMESPACES, SERVICES, ENDPOINT_SLICES):
            self.sync(resource, *(obj for obj in every if obj["kind"] == resource.kind))

    def _of(self, resource: Resource) -> list[Cache[Any]]:
        return [cache for (known, _), cache in self._caches.items() if known == resource]


def namespace(name: str) -> Json:
    """Give a Namespace."""
    return {"kind": "Namespace", "metadata": {"name": name}}


def service(
    name: str,
    *,
    namespace: str = "default",
    ips: Iterable[str] = (),
    ports: Iterable[str] = (),
    external: str = "",
    **spec: Any,
) -> Json:
    """Give a Service: headless without `ips`, ExternalName with `external`; ports are `name:number[/protocol]`."""
    addresses = list(ips) or ["None"]
    spec |= {"ports": [_port(port) for port in ports]}
    spec |= (
        {"type": "ExternalName", "externalName": external}
        if external
        else {"clusterIP": addresses[0], "clusterIPs": addresses}
    )
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}, "spec": spec}


def endpoint_slice(
    name: str,
    of: str,
    endpoints: Iterable[Json | str],
    *,
    namespace: str = "default",
    ports: Iterable[str] = (),
    family: int = 4,
) -> Json:
    """Give an EndpointSlice of the Service `of`; an endpoint is an address, or as the API writes it."""
    written = [{"addresses": [entry]} if isinstance(entry, str) else entry for entry in endpoints]
    labels = {"kubernetes.io/service-name": of}
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "addressType": f"IPv{family}",
        "endpoints": written,
        "ports": [_port(port) for port in ports],
    }


async def ask(
    chain: Chain, name: str, kind: str = "A", *, message: bytes = b"", limit: int = 0, turns: int = 64
) -> dnslib.DNSRecord:
    """Ask a chain by bytes, as a client would, and read the reply with another library; `message` is sent as it is.

    Before that the event loop has so many turns, so that what changed is compiled; without any, it is when asked for.
    """
    for _ in range(turns):
        await asyncio.sleep(0)
    responder = Responder(chain)
    data = message or bytes(dnslib.DNSRecord.question(name, kind).pack())
    found = (None if limit else responder.plain(data)) or responder.considered(data, limit)
    if isinstance(found, Query):
        found = responder.reply(found, await chain.resolve(found), limit)
    assert found is not None, "no reply at all"
    return dnslib.DNSRecord.parse(found)


def _port(text: str) -> Json:
    name, _, number = text.rpartition(":")
    number, _, protocol = number.partition("/")
    return {"name": name, "port": int(number), "protocol": protocol or "TCP"}
