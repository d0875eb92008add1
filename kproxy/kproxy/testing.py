"""For tests of backends, here and elsewhere: a cluster put in place without an API server, and a backend that fails.

`kproxy.backends.memory` is the fake; what is here goes around any backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kapi import decode
from kapi.network import EndpointSlice, Node
from kproxy.backends import Backend
from kproxy.claims import Claims
from kproxy.desired import duties
from kproxy.errors import CommitFailed
from kproxy.model import Duties, NodeDuties
from kproxy.rules.evaluate import Outcome, Packet
from kproxy.settings import Settings, here, node_duties

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The JSON of everything a proxy looks at."""

    services: tuple[Json, ...]
    slices: tuple[Json, ...]
    node: Json | None = None

    def duties(self, node_name: str, settings: Settings | None = None) -> tuple[NodeDuties, dict[str, Duties]]:
        """Work out what a node owes this cluster's Services."""
        settings = settings or Settings()
        node: Node | None = decode.node(self.node) if self.node else None
        where = here(settings, node_name, node)
        slices: dict[str, list[EndpointSlice]] = {}
        for piece in map(decode.endpoint_slice, self.slices):
            slices.setdefault(piece.service_key, []).append(piece)
        each = [
            duties(service, slices.get(service.key, ()), where, settings.families, settings.without_endpoints)
            for service in map(decode.service, self.services)
        ]
        claims = Claims()
        for asked in each:  # once to hear them all, once more to divide
            claims.settle(asked)
        return node_duties(settings, node), {asked.key: claims.settle(asked).duties for asked in each}

    async def put_in_place(self, backend: Backend, node_name: str, settings: Settings | None = None) -> None:
        """Bring it in place, whatever the backend held before."""
        refused = await backend.resync(*self.duties(node_name, settings))
        assert not refused, refused


class Erratic:
    """A backend whose every n-th commit fails, before it has done anything."""

    name: ClassVar[str] = "erratic"
    tracked: ClassVar[bool] = True

    def __init__(self, backend: Backend, every: int = 2) -> None:
        self.host = backend.host
        self._backend = backend
        self._every = every
        self.calls = 0

    def missing(self) -> str | None:
        """See `Backend.missing`."""
        return self._backend.missing()

    async def resync(self, node: NodeDuties, services: Mapping[str, Duties]) -> Mapping[str, str]:
        """See `Backend.resync`."""
        self._count()
        return await self._backend.resync(node, services)

    async def commit(self, services: Mapping[str, Duties | None]) -> Mapping[str, str]:
        """See `Backend.commit`."""
        self._count()
        return await self._backend.commit(services)

    async def drifted(self) -> bool:
        """See `Backend.drifted`."""
        return await self._backend.drifted()

    def evaluate(self, packet: Packet) -> Outcome:
        """See `Backend.evaluate`."""
        return self._backend.evaluate(packet)

    async def clear(self) -> None:
        """See `Backend.clear`."""
        await self._backend.clear()

    def close(self) -> None:
        """See `Backend.close`."""
        self._backend.close()

    def _count(self) -> None:
        self.calls += 1
        if self.calls % self._every == 0:
            raise CommitFailed(f"commit {self.calls} fails, as every {self._every}th does")


def endpoint_slice(service: str, family: int, endpoints: Iterable[Json], ports: Iterable[Json], name: str = "") -> Json:
    """Write the JSON of an EndpointSlice of `namespace/name`."""
    namespace, _, owner = service.partition("/")
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": name or f"{owner}-ipv{family}",
            "labels": {"kubernetes.io/service-name": owner},
        },
        "addressType": f"IPv{family}",
        "endpoints": list(endpoints),
        "ports": list(ports),
    }
