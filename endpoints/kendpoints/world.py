"""What the controller knows of the cluster, and which Services each change of it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from kapi import decode
from kapi.cache import Change
from kapi.network import EndpointSlice, Node, Pod, Service
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from kapi.source import Source, wait_synced
from kapi.written import Written
from kendpoints import endpoints
from kendpoints.hints import proportional
from kendpoints.index import PodIndex, ServiceIndex
from kendpoints.labels import MANAGED_BY, MIRROR_CONTROLLER, SLICE_CONTROLLER
from kendpoints.slices import concerns

Part = Literal["slices", "endpoints", "mirror"]


class Job(NamedTuple):
    """One part of one Service that may need writing."""

    part: Part
    key: str


class World:
    """Caches and indexes of Services, Pods, Nodes, slices and Endpoints.

    After `listen(dirty)`, `dirty(job, delay)` is called for whatever a change concerns, and for nothing else: the work
    of an event does not grow with the cluster. `batch_period` delays what pods cause, `repair_delay` what others did to
    our objects, in seconds. `departed` names Services whose deletion was seen.
    """

    def __init__(self, source: Source, *, batch_period: float, repair_delay: float) -> None:
        self.services = source.cache(SERVICES, decode.service)
        self.nodes = source.cache(NODES, decode.node)
        self.pods = source.cache(PODS, decode.pod)
        self.slices = Written(source.cache(ENDPOINT_SLICES, decode.endpoint_slice), decode.endpoint_slice)
        self.endpoints = Written(source.cache(ENDPOINTS, endpoints.read), endpoints.read)
        self._batch_period = batch_period
        self._repair_delay = repair_delay
        self._services = ServiceIndex()
        self._pods = PodIndex()
        self._slices: dict[str, dict[str, EndpointSlice]] = {}
        self._proportional: set[str] = set()  # Services whose hints depend on every node's CPUs
        self.departed: set[str] = set()

    async def synced(self) -> None:
        """Wait until everything has been heard of once."""
        await wait_synced(self.services, self.nodes, self.pods, self.slices.cache, self.endpoints.cache)

    def listen(self, dirty: Callable[[Job, float], None]) -> None:
        """Build the indexes and follow every change from now on."""
        self._dirty = dirty
        self.slices.listen(self._slice_changed)
        self.slices.listen_others(self._slice_touched)
        self.endpoints.listen_others(self._endpoints_touched)
        self.pods.listen(self._pod_changed)
        self.services.listen(self._service_changed)
        self.nodes.listen(self._node_changed)
        for key in {one.service_key for one in self.slices.values()} | set(self.endpoints):
            self._all(key)

    def selected(self, service: Service) -> list[Pod]:
        """Give the pods behind a Service's selector."""
        return self._pods.selected(service)

    def slices_of(self, key: str, controller: str) -> list[EndpointSlice]:
        """Give the slices of one Service that are marked as one controller's."""
        return [one for one in self._slices.get(key, {}).values() if one.labels.get(MANAGED_BY) == controller]

    def _all(self, key: str, delay: float = 0.0) -> None:
        self._dirty(Job("slices", key), delay)
        self._dirty(Job("endpoints", key), delay)
        self._dirty(Job("mirror", key), delay)

    def _service_changed(self, change: Change[Service]) -> None:
        if change.old is not None:
            self._services.remove(change.old)
        self._proportional.discard(change.key)
        if change.new is not None:
            self._services.put(change.new)
            if proportional(change.new):
                self._proportional.add(change.key)
            self.departed.discard(change.key)
        else:
            self.departed.add(change.key)
        self._all(change.key)

    def _pod_changed(self, change: Change[Pod]) -> None:
        old, new = change.old, change.new
        before = self._services.selecting(old) if old is not None else set()
        after = self._services.selecting(new) if new is not None else set()
        if new is not None:
            self._pods.put(new)
        elif old is not None:
            self._pods.remove(old)
        same = old is not None and new is not None and concerns(old) == concerns(new)
        for key in before ^ after if same else before | after:
            self._pods_moved(key)

    def _pods_moved(self, key: str) -> None:
        self._dirty(Job("slices", key), self._batch_period)
        self._dirty(Job("endpoints", key), self._batch_period)

    def _node_changed(self, change: Change[Node]) -> None:
        old, new = change.old, change.new
        if old is None or new is None or old.zone != new.zone:
            for key in {key for pod in self._pods.on_node(change.key) for key in self._services.selecting(pod)}:
                self._pods_moved(key)
        if old is None or new is None or _counts(old) != _counts(new):
            for key in self._proportional:
                self._dirty(Job("slices", key), 0.0)

    def _slice_changed(self, change: Change[EndpointSlice]) -> None:
        if change.old is not None:
            filed = self._slices.get(change.old.service_key, {})
            filed.pop(change.key, None)
            if not filed:
                self._slices.pop(change.old.service_key, None)
        if change.new is not None:
            self._slices.setdefault(change.new.service_key, {})[change.key] = change.new

    def _slice_touched(self, change: Change[EndpointSlice]) -> None:
        for one in (change.old, change.new):
            controller = one.labels.get(MANAGED_BY) if one else ""
            if one and controller in (SLICE_CONTROLLER, MIRROR_CONTROLLER):
                part: Part = "slices" if controller == SLICE_CONTROLLER else "mirror"
                self._dirty(Job(part, one.service_key), self._repair_delay)

    def _endpoints_touched(self, change: Change[endpoints.Endpoints]) -> None:
        self._dirty(Job("mirror", change.key), 0.0)
        orphaned = change.new is not None and change.new.ours  # by another like us, whose Service went meanwhile
        if change.key in self.services or orphaned:
            self._dirty(Job("endpoints", change.key), self._repair_delay)


def _counts(node: Node) -> tuple[object, ...]:
    """Everything about a node that can change hints in proportion to CPUs."""
    return node.ready, node.zone, node.milli_cpu, node.labels
