"""Says in a Service's own terms why a connection meets what it meets: what the rules alone do not tell. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kproxy.model import Duties, Frontend
from kproxy.rules.evaluate import Packet


def terms(owed: Iterable[Duties], packet: Packet) -> list[str]:
    """Give a sentence for each policy of the Service port that a packet knocks at, of those that decide anything."""
    frontends = [each for duties in owed for each in duties.frontends if _is_at(each, packet)]
    frontends.sort(key=lambda each: each.place.address is None)  # a NodePort comes last
    return list(_terms(frontends[0])) if frontends else []


def _is_at(frontend: Frontend, packet: Packet) -> bool:
    place = frontend.place
    here = packet.destination in packet.own if place.address is None else packet.destination == place.address
    return (
        here
        and place.family == packet.destination.version
        and place.port == packet.port
        and place.protocol.lower() == packet.protocol
    )


def _terms(frontend: Frontend) -> Iterator[str]:
    about = f"Service port {frontend.origin}"
    external = f"{about} has externalTrafficPolicy Local"
    if frontend.nobody_outside:
        elsewhere = ", ".join(map(str, dict.fromkeys(frontend.pool)))
        yield f"{external}: from outside only endpoints of this node serve, not {elsewhere}."
    elif frontend.outside is not None:
        yield f"{external}: who comes from outside stays on this node."
    if frontend.nobody_inside:
        yield f"{about} has internalTrafficPolicy Local, and no endpoint is on this node."
    if frontend.affinity_seconds and frontend.pool:
        yield f"{about} has sessionAffinity ClientIP: who came within {frontend.affinity_seconds} s goes there again."
    if frontend.sources is not None:
        yield f"{about} has loadBalancerSourceRanges: {', '.join(map(str, frontend.sources)) or 'none'}."
