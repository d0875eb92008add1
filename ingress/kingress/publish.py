"""What goes into an Ingress' status: the addresses at which it can be reached. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from kapi.network import Service
from kingress.objects import Ingress

Json = dict[str, Any]


def addresses(configured: tuple[str, ...], service: Service | None) -> tuple[str, ...]:
    """Give the addresses to publish: those configured, and those of the Service in front of the ingress.

    A Service's load-balancer addresses and names come first, then its external addresses, then its cluster addresses.
    """
    if service is None:
        return configured
    balanced = (*(str(entry.ip) for entry in service.load_balancer), *service.load_balancer_names)
    external = tuple(str(address) for address in service.external_ips)
    inside = tuple(str(address) for address in service.cluster_ips)
    return tuple(dict.fromkeys((*configured, *(balanced or external or inside))))


def patch(wanted: tuple[str, ...], ingress: Ingress) -> Json | None:
    """Give the merge patch that brings an Ingress' status to `wanted`; None where it is there already."""
    if ingress.addresses == wanted:
        return None
    entries = [_entry(address) for address in wanted]
    return {"status": {"loadBalancer": {"ingress": entries or None}}}


def _entry(address: str) -> Json:
    try:
        return {"ip": str(ip_address(address))}
    except ValueError:
        return {"hostname": address}
