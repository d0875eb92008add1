"""What a namespace must have in EndpointSlices and Endpoints, worked out anew from Services and Pods; and what it has.

Each endpoint of the one must be in the other exactly once, with the same state, ports and pod.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES, Resource

Json = dict[str, Any]
Found = dict[tuple[str, str], Counter[Any]]  # by kind and Service

NAMESPACE = "default"
FAMILIES = {"IPv4": 4, "IPv6": 6}
SERVICE_NAME = "kubernetes.io/service-name"
OF_THE_SERVER = "kubernetes"  # its slices and Endpoints are the API server's own


async def written(client: Client) -> Found:
    """What there is."""
    found: Found = {}
    for one in await _all(client, ENDPOINT_SLICES):
        members = found.setdefault(("slices", one["metadata"]["labels"][SERVICE_NAME]), Counter())
        members.update(_members(one))
    for one in await _all(client, ENDPOINTS):
        if "endpoints.kubernetes.io/managed-by" in (one["metadata"].get("labels") or {}):
            found["endpoints", one["metadata"]["name"]] = Counter(_addresses(one))
    return found


async def wanted(client: Client) -> Found:
    """What there must be."""
    pods = await _all(client, PODS)
    nodes = {node["metadata"]["name"] for node in (await client.list(NODES)).items}
    by_hand = {one["metadata"]["name"]: one for one in await _all(client, ENDPOINTS)}
    found: Found = {}
    for service in await _all(client, SERVICES):
        name, selector = service["metadata"]["name"], service["spec"].get("selector")
        if selector is None:
            mirrored = Counter(_mirrored(by_hand.get(name, {})))
            found |= {("slices", name): mirrored} if mirrored else {}
            continue
        chosen = [pod for pod in pods if selector.items() <= (pod["metadata"].get("labels") or {}).items()]
        behind = [pod for pod in chosen if pod["spec"]["nodeName"] in nodes or _published(service)]
        found["slices", name] = Counter(_endpoints(service, behind))
        found["endpoints", name] = Counter(_old_addresses(service, chosen))
    return found


async def faults(client: Client, limit: int) -> list[str]:
    """What is wrong with the slices themselves: too full, needless, of nobody, or of a Service that is gone."""
    uids = {one["metadata"]["uid"] for kind in (SERVICES, ENDPOINTS) for one in await _all(client, kind)}
    told: list[str] = []
    sizes: dict[Any, list[int]] = {}
    for one in await _all(client, ENDPOINT_SLICES):
        meta, size = one["metadata"], len(one["endpoints"] or ())
        of = (meta["labels"][SERVICE_NAME], one["addressType"])
        sizes.setdefault(of, []).append(size)
        told += [f"{of} is too full: {size}"] * (size > limit and meta["ownerReferences"][0]["kind"] == "Service")
        told += [f"{meta['name']} has no owner"] * (meta["ownerReferences"][0]["uid"] not in uids)
    return told + [
        f"{of} needs no empty slice: {found}" for of, found in sizes.items() if 0 in found and len(found) > 1
    ]


async def _all(client: Client, resource: Resource) -> list[Json]:
    items = (await client.list(resource, NAMESPACE)).items
    return [
        one
        for one in items
        if OF_THE_SERVER not in (one["metadata"]["name"], (one["metadata"].get("labels") or {}).get(SERVICE_NAME))
    ]


def _members(one: Json) -> Iterator[Any]:
    ports = tuple((port["name"], port["port"]) for port in one["ports"] or ())
    for endpoint in one["endpoints"] or ():
        conditions = endpoint["conditions"]
        state = tuple(conditions.get(name) for name in ("ready", "serving", "terminating"))
        yield endpoint["addresses"][0], state, ports, (endpoint.get("targetRef") or {}).get("uid")


def _endpoints(service: Json, pods: Iterable[Json]) -> Iterator[Any]:
    for pod in pods:
        serving, terminating = _is_ready(pod), "deletionTimestamp" in pod["metadata"]
        state = (_published(service) or (serving and not terminating), serving, terminating)
        for ip in _ips(pod):
            if ip_address(ip).version in _families(service):
                yield ip, state, tuple(_ports(service, pod)), pod["metadata"]["uid"]


def _mirrored(endpoints: Json) -> Iterator[Any]:
    for subset in endpoints.get("subsets") or ():
        ports = tuple((port["name"], port["port"]) for port in subset["ports"])
        for part, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(part) or ():
                yield address["ip"], (ready, None, None), ports, None


def _addresses(endpoints: Json) -> Iterator[Any]:
    for subset in endpoints.get("subsets") or ():
        for port in subset["ports"]:
            for part, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(part) or ():
                    yield address["ip"], ready, (port["name"], port["port"]), address["targetRef"]["uid"]


def _old_addresses(service: Json, pods: Iterable[Json]) -> Iterator[Any]:
    """Of the first family only, and of no pod that goes."""
    for pod in pods:
        mine = [ip for ip in _ips(pod) if ip_address(ip).version == _families(service)[0]]
        if mine and (_published(service) or "deletionTimestamp" not in pod["metadata"]):
            for port in _ports(service, pod):
                yield mine[0], _is_ready(pod) or _published(service), port, pod["metadata"]["uid"]


def _families(service: Json) -> list[int]:
    return [FAMILIES[family] for family in service["spec"]["ipFamilies"]]


def _published(service: Json) -> bool:
    return bool(service["spec"].get("publishNotReadyAddresses"))


def _ips(pod: Json) -> list[str]:
    status = pod.get("status") or {}
    return [] if status.get("phase") in ("Succeeded", "Failed") else [found["ip"] for found in status.get("podIPs", ())]


def _is_ready(pod: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())


def _ports(service: Json, pod: Json) -> Iterator[tuple[str, int]]:
    declared = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    for port in service["spec"]["ports"]:
        target = port["targetPort"]
        if isinstance(target, int) or target in declared:
            yield port["name"], target if isinstance(target, int) else declared[target]
