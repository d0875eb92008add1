"""Which addresses may stand in which field. Pure.

Addresses that mean this host or this link, to whoever reads them, are no addresses of Services or endpoints
(k8s.io/kubernetes ValidateNonSpecialIP).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from kapi.server.fields import FieldError, invalid

NOT_AN_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def is_ip(text: Any) -> bool:
    """Whether a text is an address of either family; one with a zone (`%eth0`) is not."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return isinstance(text, str) and "%" not in text


def ip_error(text: Any, path: str, family: int = 0) -> list[FieldError]:
    """Say what is wrong with an address that traffic is to go to; `family` 0 is either."""
    if not is_ip(text):
        return [invalid(path, text, NOT_AN_ADDRESS)]
    address = ip_address(text)
    if family and address.version != family:
        return [invalid(path, text, f"must be an IPv{family} address")]
    if address.is_unspecified:
        return [invalid(path, text, f"may not be unspecified ({address})")]
    if address.is_loopback:
        return [invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if address.is_link_local:
        return [invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    if address.is_multicast:
        return [invalid(path, text, "may not be a multicast address (224.0.0.0/4, ff00::/8)")]
    return []


def load_balancer_errors(obj: dict[str, Any]) -> list[FieldError]:
    """Say what is wrong with the addresses in `status.loadBalancer` of a Service or an Ingress."""
    entries = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [
        invalid(f"status.loadBalancer.ingress[{index}].ip", entry["ip"], NOT_AN_ADDRESS)
        for index, entry in enumerate(entries)
        if entry.get("ip") and not is_ip(entry["ip"])
    ]
