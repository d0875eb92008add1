"""Which zones and nodes should prefer an endpoint: `spec.trafficDistribution` (KEP-4444, KEP-3015). Pure."""

from __future__ import annotations

from kapi.network import Endpoint, Service
from kendpoints.labels import TOPOLOGY_HINTS, TOPOLOGY_MODE

_SAME_ZONE = frozenset({"PreferClose", "PreferSameZone", "PreferSameNode"})


def proportional(service: Service) -> bool:
    """Whether the older topology annotation asks for hints in proportion to the zones' CPUs."""
    annotations = service.annotations
    return annotations.get(TOPOLOGY_HINTS, annotations.get(TOPOLOGY_MODE)) in ("Auto", "auto")


def distribution(service: Service) -> str:
    """Give the Service's traffic distribution; the older topology annotation, when on, switches it off."""
    return "" if proportional(service) else service.traffic_distribution


def hinted(endpoint: Endpoint, preference: str) -> Endpoint:
    """Give the endpoint with the hints of its Service's distribution: its own zone, and for PreferSameNode its node."""
    if preference not in _SAME_ZONE or not endpoint.ready:
        return endpoint
    nodes = (endpoint.node_name,) if preference == "PreferSameNode" and endpoint.node_name else ()
    return endpoint._replace(zone_hints=(endpoint.zone,) if endpoint.zone else (), node_hints=nodes)
