"""The JSON of what the controller writes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kapi.network import Endpoint, EndpointPort, EndpointSlice, Reference
from kendpoints.endpoints import EndpointAddress, Endpoints, Subset
from kendpoints.labels import MANAGED_BY, MIRROR_CONTROLLER, TRIGGER_TIME

Json = dict[str, Any]


def slice_json(one: EndpointSlice) -> Json:
    """Write an EndpointSlice; one without a name gets a generated one."""
    annotations = {name: value for name, value in one.annotations.items() if name != TRIGGER_TIME}
    mirrored = one.labels.get(MANAGED_BY) == MIRROR_CONTROLLER
    meta: Json = {
        "namespace": one.namespace,
        "labels": dict(one.labels),
        "annotations": annotations | ({TRIGGER_TIME: one.trigger_time} if one.trigger_time else {}),
        "ownerReferences": [*([one.owner.as_owner()] if one.owner else []), *one.other_owners],
        "finalizers": list(one.finalizers),
    }
    meta |= _named(one.name, one.uid, one.resource_version, one.service)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {name: value for name, value in meta.items() if value},
        "addressType": f"IPv{one.family}",
        "endpoints": [_endpoint(endpoint, mirrored=mirrored) for endpoint in one.endpoints],
        "ports": _ports(one.ports),
    }


def endpoints_json(one: Endpoints) -> Json:
    """Write an Endpoints object."""
    meta: Json = {"name": one.name, "namespace": one.namespace, "uid": one.uid}
    meta |= {"resourceVersion": one.resource_version, "labels": one.labels, "annotations": one.annotations}
    meta |= {"ownerReferences": list(one.owners), "finalizers": list(one.finalizers)}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {name: value for name, value in meta.items() if value},
        "subsets": [_subset(subset) for subset in one.subsets],
    }


def _named(name: str, uid: str, version: str, base: str) -> Json:
    return {"name": name, "uid": uid, "resourceVersion": version} if name else {"generateName": f"{base}-"}


def _endpoint(one: Endpoint, *, mirrored: bool) -> Json:
    """Write an endpoint. Of a mirrored one no more is known than whether it is ready."""
    conditions = {"ready": one.ready}
    conditions |= {} if mirrored else {"serving": one.serving, "terminating": one.terminating}
    found: Json = {"addresses": [str(ip) for ip in one.addresses], "conditions": conditions}
    found |= {"hostname": one.hostname} if one.hostname else {}
    found |= {"nodeName": one.node_name} if one.node_name else {}
    found |= {"zone": one.zone} if one.zone else {}
    found |= {"targetRef": _target(one.target)} if one.target else {}
    hints = {"forZones": _names(one.zone_hints), "forNodes": _names(one.node_hints)}
    hints = {name: value for name, value in hints.items() if value}
    return found | ({"hints": hints} if hints else {})


def _names(names: Iterable[str]) -> list[Json]:
    return [{"name": name} for name in names]


def _target(target: Reference) -> Json:
    found = {"kind": target.kind, "namespace": target.namespace, "name": target.name, "uid": target.uid}
    if target.api_version != "v1":
        found["apiVersion"] = target.api_version
    return {name: value for name, value in found.items() if value}


def _ports(ports: Iterable[EndpointPort], *, named: bool = True) -> list[Json]:
    return [
        ({"name": p.name} if named or p.name else {})
        | {"port": p.port, "protocol": str(p.protocol)}
        | ({"appProtocol": p.app_protocol} if p.app_protocol else {})
        for p in ports
    ]


def _subset(one: Subset) -> Json:
    found: Json = {
        "addresses": [_address(address) for address in one.ready],
        "notReadyAddresses": [_address(address) for address in one.not_ready],
        "ports": _ports(one.ports, named=False),
    }
    return {name: value for name, value in found.items() if value}


def _address(one: EndpointAddress) -> Json:
    found: Json = {"ip": str(one.ip)}
    found |= {"hostname": one.hostname} if one.hostname else {}
    found |= {"nodeName": one.node_name} if one.node_name else {}
    return found | ({"targetRef": _target(one.target)} if one.target else {})
