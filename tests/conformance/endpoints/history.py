"""Random histories of a namespace: the same steps, taken in any cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from kapi.client import Client
from kapi.errors import ApiError
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, NODES, PODS, SERVICES
from kendpoints.labels import MANAGED_BY

Json = dict[str, Any]
Step = tuple[Any, ...]

APPS = ("web", "api")
PODS_OF_ONE = 9
READY_SINCE = "2026-01-01T00:00:00Z"
TERMS = {"node": 2, "pod": 8, "status": 6, "relabel": 2, "delete": 3, "service": 4, "change": 5, "drop": 1}
TERMS |= {"by hand": 3, "meddle": 1}
CHANGES: tuple[Json, ...] = (
    {"spec": {"selector": {"app": "web"}}},
    {"spec": {"selector": {"app": "api"}}},
    {"spec": {"selector": None}},
    {"spec": {"publishNotReadyAddresses": True}},
    {"spec": {"publishNotReadyAddresses": False}},
    {"spec": {"trafficDistribution": "PreferClose"}},
    {"spec": {"trafficDistribution": "PreferSameNode"}},
    {"spec": {"trafficDistribution": None}},
    {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
    {"spec": {"ports": [{"name": "a", "port": 80, "targetPort": "http"}, {"name": "b", "port": 81}]}},
    {"spec": {"ports": [{"name": "m", "port": 9, "targetPort": "metrics", "appProtocol": "kubernetes.io/h2c"}]}},
    {"spec": {"ports": [{"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}]}},
    {"metadata": {"labels": {"team": "blue", "service.kubernetes.io/headless": "mine"}}},
    {"metadata": {"labels": {"team": None}}},
    {"metadata": {"annotations": {"note": "x"}}},
)
FAMILIES: tuple[Json, ...] = (
    {"ipFamilies": ["IPv4"]},
    {"ipFamilies": ["IPv6"]},
    {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]},
    {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]},
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a history happens: a namespace and nodes of its own in one cluster."""

    client: Client
    namespace: str

    def node(self, name: str) -> str:
        """Nodes have no namespace: each history has its own."""
        return f"{self.namespace}-{name}"


def history(random: Random, length: int) -> Iterator[Step]:
    """Draw so many steps."""
    yield ("node", "a", True)
    yield ("node", "b", True)
    yield _draw(random, "service")
    for _ in range(length):
        yield _draw(random, random.choices(list(TERMS), list(TERMS.values()))[0])


def _draw(random: Random, what: str) -> Step:
    number, app = random.randrange(PODS_OF_ONE), random.choice(APPS)
    drawn: dict[str, Callable[[], Step]] = {
        "node": lambda: (random.choice("abc"), random.random() < 0.7),
        "pod": lambda: (number, app, random.choice("aabbc"), random.choice((*range(4), "not ready"))),
        "status": lambda: (number, random.random() < 0.6, random.choice(("Running", "Running", "Succeeded", "Failed"))),
        "relabel": lambda: (number, app),
        "delete": lambda: (number, random.choice((None, 0))),
        "service": lambda: (app, random.random() < 0.4, random.choice(FAMILIES)),
        "change": lambda: (app, random.choice(CHANGES)),
        "drop": lambda: (app,),
        "by hand": lambda: (app, random.randrange(1, 4), random.choice((0, 0, 1, 2))),
        "meddle": lambda: (app, random.random() < 0.5),
    }
    return (what, *drawn[what]())


async def take(place: Place, step: Step) -> None:
    """Take one step; what the API refuses does not happen, in either cluster."""
    what, *given = step
    steps: dict[str, Callable[..., Any]] = {
        "node": _node,
        "pod": _pod,
        "status": _status,
        "relabel": _relabel,
        "delete": _delete,
        "service": _service,
        "change": _change,
        "drop": _drop,
        "by hand": _by_hand,
        "meddle": _meddle,
    }
    with contextlib.suppress(ApiError):
        await steps[what](place, *given)


async def touch(place: Place) -> None:
    """Change every Service a little: the released controllers wait long after a failure, and look again at once now."""
    for service in (await place.client.list(SERVICES, place.namespace)).items:
        meta = service["metadata"]
        patch = {"metadata": {"annotations": {"touched-at": meta["resourceVersion"]}}}
        await place.client.patch(SERVICES, meta["name"], patch, place.namespace)


async def settle_in(place: Place) -> None:
    """Make the namespace."""
    await place.client.create(NAMESPACES, {"metadata": {"name": place.namespace}})


async def _node(place: Place, name: str, there: bool) -> None:
    if not there:
        await place.client.delete(NODES, place.node(name))
        return
    labels = {"topology.kubernetes.io/zone": f"zone-{name}"} if name != "c" else {}
    await place.client.create(NODES, {"metadata": {"name": place.node(name), "labels": labels}})
    await touch(place)


async def _pod(place: Place, number: int, app: str, node: str, shape: int | str) -> None:
    ports: list[Json] = [{"name": "http", "containerPort": 8080 + number % 2}]
    ports += [{"name": "dns", "containerPort": 5300, "protocol": "UDP"}] if shape == 1 else []
    spec: Json = {"nodeName": place.node(node), "containers": [{"name": "c", "image": "i", "ports": ports}]}
    if shape == 2:
        sidecar = {"name": "s", "image": "i", "ports": [{"name": "metrics", "containerPort": 9090}]}
        spec["initContainers"] = [{**sidecar, "restartPolicy": "Always"}]
    if shape == 3:
        spec |= {"hostname": f"host{number}", "subdomain": APPS[number % 2]}
    meta = {"name": f"p{number}", "namespace": place.namespace, "labels": {"app": app}}
    await place.client.create(PODS, {"metadata": meta, "spec": spec})
    await _status(place, number, shape != "not ready", "Running")


async def _status(place: Place, number: int, ready: bool, phase: str) -> None:
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": READY_SINCE}
    ips = [{"ip": f"10.244.0.{number + 1}"}, {"ip": f"fd44::{number + 1:x}"}][: 1 + number % 3]
    status = {"phase": phase, "podIP": ips[0]["ip"], "podIPs": ips, "conditions": [condition]}
    await place.client.patch(PODS, f"p{number}", {"status": status}, place.namespace, subresource="status")


async def _relabel(place: Place, number: int, app: str) -> None:
    await place.client.patch(PODS, f"p{number}", {"metadata": {"labels": {"app": app}}}, place.namespace)


async def _delete(place: Place, number: int, grace: int | None) -> None:
    await place.client.delete(PODS, f"p{number}", place.namespace, grace_seconds=grace)


async def _service(place: Place, name: str, headless: bool, families: Json) -> None:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **families}
    spec |= {"clusterIP": "None"} if headless else {}
    await place.client.create(SERVICES, {"metadata": {"name": name, "namespace": place.namespace}, "spec": spec})


async def _change(place: Place, name: str, change: Json) -> None:
    await place.client.patch(SERVICES, name, change, place.namespace)


async def _drop(place: Place, name: str) -> None:
    await place.client.delete(SERVICES, name, place.namespace)


async def _by_hand(place: Place, name: str, count: int, kind: int) -> None:
    """Write Endpoints as a person would."""
    addresses = [{"ip": f"192.0.2.{n}"} for n in range(1, count + 1)] + [{"ip": "2001:db8::7"}][: count - 1]
    subset: Json = {"addresses": addresses, "ports": [{"name": "sql", "port": 5430 + count}]}
    subset |= {"notReadyAddresses": [{"ip": "192.0.2.99"}]} if count == 2 else {}
    labels = ({}, {"endpointslice.kubernetes.io/skip-mirror": "true"}, {"team": "red"})[kind]
    meta = {"name": name, "namespace": place.namespace, "labels": labels, "annotations": {"by": "hand"}}
    obj = {"metadata": meta, "subsets": [subset]}
    selected = (await place.client.get(SERVICES, name, place.namespace))["spec"].get("selector")
    if selected:
        return  # the endpoints controller would fight for it
    try:
        await place.client.create(ENDPOINTS, obj)
    except ApiError:
        await place.client.update(ENDPOINTS, obj)


async def _meddle(place: Place, name: str, gone: bool) -> None:
    """Spoil a slice, as somebody who should not: the fullest one of a Service."""
    labels = f"kubernetes.io/service-name={name}"
    found = (await place.client.list(ENDPOINT_SLICES, place.namespace, labels=labels)).items
    if not found:
        return
    one = max(found, key=_fullness)
    if gone:
        await place.client.delete(ENDPOINT_SLICES, one["metadata"]["name"], place.namespace)
    else:
        spoilt = {"conditions": {"ready": False}}
        patch = {"endpoints": [{"addresses": e["addresses"], **spoilt} for e in one.get("endpoints") or ()]}
        await place.client.patch(ENDPOINT_SLICES, one["metadata"]["name"], patch, place.namespace)


def _fullness(one: Json) -> tuple[Any, ...]:
    ports = sorted((port["port"], port["protocol"], port.get("name") or "") for port in one.get("ports") or ())
    return len(one.get("endpoints") or ()), one["addressType"], ports, one["metadata"]["labels"].get(MANAGED_BY, "")
