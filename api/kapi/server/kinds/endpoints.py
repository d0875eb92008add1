"""Endpoints and EndpointSlices. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kapi.objects import Endpoints, EndpointSlice
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS
from kapi.server.columns import AGE, NAME, Column, at, shortened
from kapi.server.fields import FieldError, duplicate, invalid, required, unsupported
from kapi.server.kinds.ips import ip_error
from kapi.server.kinds.kind import Kind

Json = dict[str, Any]

_FAMILIES = {"IPv4": 4, "IPv6": 6}
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MOST_ENDPOINTS = 1000
_MOST_ADDRESSES = 100


def _default(obj: Json) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _default_endpoints(obj: Json) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _port_errors(ports: list[Json], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, port in enumerate(ports):
        number, protocol = port.get("port"), port["protocol"]
        if number is not None and not 0 < number < 65536:
            errors.append(invalid(f"{path}[{index}].port", number, "must be between 1 and 65535, inclusive"))
        if protocol not in _PROTOCOLS:
            errors.append(unsupported(f"{path}[{index}].protocol", protocol, _PROTOCOLS))
    return errors


def _validate(new: Json, old: Json | None) -> list[FieldError]:
    kind = new.get("addressType")
    errors: list[FieldError] = []
    if not kind:
        errors.append(required("addressType"))
    elif kind not in ("FQDN", *_FAMILIES):
        errors.append(unsupported("addressType", kind, ("FQDN", *_FAMILIES)))
    if old is not None and old.get("addressType") != kind:
        errors.append(invalid("addressType", kind, "field is immutable"))
    endpoints = new.get("endpoints") or ()
    if len(endpoints) > _MOST_ENDPOINTS:
        errors.append(FieldError("endpoints", "Too many", len(endpoints), f"must have at most {_MOST_ENDPOINTS} items"))
    for index, endpoint in enumerate(endpoints):
        errors += _endpoint_errors(endpoint, kind or "", f"endpoints[{index}]")
    names = [port["name"] for port in new.get("ports") or ()]
    errors += [duplicate(f"ports[{i}].name", name) for i, name in enumerate(names) if name in names[:i]]
    return errors + _port_errors(new.get("ports") or [], "ports")


def _endpoint_errors(endpoint: Json, kind: str, path: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        return [required(f"{path}.addresses", "must contain at least 1 address")]
    if len(addresses) > _MOST_ADDRESSES:
        text = f"must have at most {_MOST_ADDRESSES} items"
        return [FieldError(f"{path}.addresses", "Too many", len(addresses), text)]
    errors: list[FieldError] = []
    if kind in _FAMILIES:
        for index, address in enumerate(addresses):
            errors += ip_error(address, f"{path}.addresses[{index}]", _FAMILIES[kind])
    return errors


def _check_endpoints(new: Json, _: Json | None) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, subset in enumerate(new.get("subsets") or ()):
        path = f"subsets[{index}]"
        parts = [(p, subset.get(p) or ()) for p in ("addresses", "notReadyAddresses")]
        if not any(found for _, found in parts):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for part, found in parts:
            for number, address in enumerate(found):
                errors += ip_error(address.get("ip"), f"{path}.{part}[{number}].ip")
        errors += _port_errors(subset.get("ports") or [], f"{path}.ports")
    return errors


def _targets(obj: Json, _: datetime) -> str:
    found = []
    for subset in obj.get("subsets") or ():
        ports = [port.get("port") for port in subset.get("ports") or ()]
        for address in subset.get("addresses") or ():
            ip = address.get("ip") or ""
            shown = f"[{ip}]" if ":" in ip else ip
            found += [f"{shown}:{port}" for port in ports] or [ip]
    return shortened(found)


def _slice_ports(obj: Json, _: datetime) -> str:
    ports = [port.get("port") for port in obj.get("ports") or ()]
    return shortened(str(port) for port in ports) if ports else "<unset>"


def _slice_addresses(obj: Json, _: datetime) -> str:
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return shortened(addresses) if addresses else "<unset>"


ENDPOINT_SLICE = Kind(
    ENDPOINT_SLICES,
    EndpointSlice,
    default=_default,
    validate=_validate,
    columns=(
        NAME,
        Column("AddressType", at("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_addresses),
        AGE,
    ),
    counted=("endpoints", "ports", "addressType"),
)
ENDPOINTS_KIND = Kind(
    ENDPOINTS,
    Endpoints,
    default=_default_endpoints,
    validate=_check_endpoints,
    columns=(NAME, Column("Endpoints", _targets), AGE),
    created_by_update=True,
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
)
