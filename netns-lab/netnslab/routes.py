"""Sends the addresses of load balancers to the nodes, as a cloud's load balancer or a BGP router would.

Every address goes to all ready nodes, flow by flow; one of a Service with `externalTrafficPolicy: Local` only to nodes
that have a ready endpoint of it, since the others would drop what they get.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from kapi import decode
from kapi.cache import Change
from kapi.network import Address, EndpointSlice, Node, Service, ServiceType, TrafficPolicy
from kapi.resources import ENDPOINT_SLICES, NODES, SERVICES
from kapi.source import Source, wait_synced
from netnslab import plan
from netnslab.errors import KernelError
from netnslab.kernel import Namespace
from netnslab.steps import Unroute
from netnslab.topology import Topology

log = logging.getLogger(__name__)

Gateways = Mapping[Address, tuple[str, ...]]


def desired(services: Iterable[Service], slices: Iterable[EndpointSlice], nodes: Iterable[Node]) -> Gateways:
    """Which nodes each load-balancer address is sent to, by name. Pure."""
    ready = tuple(sorted(node.name for node in nodes if node.ready and not node.terminating))
    local: dict[str, set[str]] = {}
    for one in slices:
        local.setdefault(one.service_key, set()).update(e.node_name for e in one.endpoints if e.ready)
    found: dict[Address, tuple[str, ...]] = {}
    for service in services:
        if service.type is not ServiceType.LOAD_BALANCER:
            continue
        only_local = service.external_policy is TrafficPolicy.LOCAL
        having = local.get(service.key, set())
        gateways = tuple(name for name in ready if not only_local or name in having)
        if gateways:
            found |= {entry.ip: gateways for entry in service.load_balancer}
    return found


class Router:
    """Keeps the routes of the lab's router. `run` goes on until cancelled."""

    def __init__(self, source: Source, topology: Topology, namespace: Namespace) -> None:
        self._topology = topology
        self._namespace = namespace
        self._services = source.cache(SERVICES, decode.service)
        self._slices = source.cache(ENDPOINT_SLICES, decode.endpoint_slice)
        self._nodes = source.cache(NODES, decode.node)
        self._changed = asyncio.Event()
        self._present: dict[Address, tuple[str, ...]] = {}

    async def run(self) -> None:
        """Follow the cluster."""
        await wait_synced(self._services, self._slices, self._nodes)
        self._services.listen(self._note)
        self._slices.listen(self._note)
        self._nodes.listen(self._note)
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._adapt(desired(self._services.values(), self._slices.values(), self._nodes.values()))

    def _note(self, _: Change[Service] | Change[EndpointSlice] | Change[Node]) -> None:
        self._changed.set()

    def _adapt(self, wanted: Gateways) -> None:
        """Bring the kernel's routes from the present to the wanted ones, each by itself."""
        for address in [address for address in self._present if address not in wanted]:
            self._apply(address, ())
        for address, names in wanted.items():
            if self._present.get(address) != names:
                self._apply(address, names)

    def _apply(self, address: Address, names: tuple[str, ...]) -> None:
        known = {node.name: node for node in self._topology.nodes}
        route = plan.load_balancer_route(address, tuple(known[name] for name in names if name in known))
        try:
            if address in self._present:  # an IPv6 route with several gateways is not replaced as one
                self._namespace.apply([Unroute(route.destination)])
                del self._present[address]
            if route.via:
                self._namespace.apply([route])
                self._present[address] = names
        except KernelError as error:
            log.warning("the route to load balancer %s: %s", address, error)
