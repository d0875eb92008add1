"""The environment variables of a container, by the rules of the Pod API. Pure.

`$(NAME)` in values, commands and arguments is expanded from variables defined earlier; `$$` stands for `$`.
Service variables are those of docker links (`REDIS_MASTER_SERVICE_HOST`), for Services of the pod's own namespace.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kapi.network import Service
from netnslab.kubelet.podspec import Container, PodSpec

Json = dict[str, Any]

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")


class Missing(Exception):  # it says what is missing
    """A ConfigMap, Secret or field that a variable refers to is not there (and is not optional)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What is known about a pod only once it runs: its node and addresses."""

    node_name: str
    host_ips: tuple[str, ...]
    pod_ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """The objects that variables may refer to, by `namespace/name`."""

    config_maps: Mapping[str, Json]
    secrets: Mapping[str, Json]
    services: Iterable[Service]


def variables(pod: PodSpec, container: Container, placement: Placement, sources: Sources) -> dict[str, str]:
    """All variables of one container, in the order of precedence: links, envFrom, env.

    Raises Missing, naming the object.
    """
    found = _links(pod, sources.services)
    for item in container.env_from:
        found |= _from_object(pod, item, sources)
    for item in container.env:
        value = _value(pod, item, found, placement, sources)
        if value is not None:
            found[item["name"]] = value
    return found


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)` where NAME is known, and `$$` by `$`."""

    def replacement(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else values.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def _value(pod: PodSpec, item: Json, known: Mapping[str, str], placement: Placement, sources: Sources) -> str | None:
    origin = item.get("valueFrom")
    if not origin:
        return expand(item.get("value") or "", known)
    if "fieldRef" in origin:
        return pod_field(pod, origin["fieldRef"]["fieldPath"], placement)
    if "configMapKeyRef" in origin:
        return _key(pod, origin["configMapKeyRef"], "ConfigMap", sources.config_maps)
    if "secretKeyRef" in origin:
        return _key(pod, origin["secretKeyRef"], "Secret", sources.secrets)
    return "0"  # resourceFieldRef: pods of a lab have no limits


def pod_field(pod: PodSpec, path: str, placement: Placement) -> str:
    """A field of the pod as a text. Raises Missing for one that cannot be had."""
    if match := _SUBSCRIPT.match(path):
        return str((pod.labels if match[1] == "labels" else pod.annotations).get(match[2], ""))
    known = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": placement.node_name,
        "spec.serviceAccountName": pod.service_account,
        "status.hostIP": placement.host_ips[0],
        "status.hostIPs": ",".join(placement.host_ips),
        "status.podIP": placement.pod_ips[0],
        "status.podIPs": ",".join(placement.pod_ips),
    }
    if path not in known:
        raise Missing(f"fieldRef {path!r} is not a field that a container can be told")
    return known[path]


def _key(pod: PodSpec, reference: Json, kind: str, objects: Mapping[str, Json]) -> str | None:
    name = f"{pod.namespace}/{reference.get('name')}"
    values = _strings(kind, objects.get(name))
    if values is not None and reference.get("key") in values:
        return values[reference["key"]]
    if reference.get("optional"):
        return None
    raise Missing(f"{kind} {name} has no key {reference.get('key')!r}" if values is not None else f"no {kind} {name}")


def _from_object(pod: PodSpec, item: Json, sources: Sources) -> dict[str, str]:
    kind, objects = ("ConfigMap", sources.config_maps) if "configMapRef" in item else ("Secret", sources.secrets)
    reference = item.get("configMapRef") or item.get("secretRef") or {}
    name = f"{pod.namespace}/{reference.get('name')}"
    values = _strings(kind, objects.get(name))
    if values is None:
        if reference.get("optional"):
            return {}
        raise Missing(f"no {kind} {name}")
    prefix = item.get("prefix") or ""
    return {prefix + key: value for key, value in values.items()}


def _strings(kind: str, obj: Json | None) -> dict[str, str] | None:
    if obj is None:
        return None
    data = obj.get("data")
    data = data if isinstance(data, dict) else {}
    if kind == "Secret":
        data = {key: text for key, value in data.items() if (text := _decoded(value)) is not None}
    return {key: str(value) for key, value in data.items()}


def _decoded(value: Any) -> str | None:
    """A Secret's value; None for one that is not base64, which nobody can refer to."""
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except (ValueError, TypeError):
        return None


def _links(pod: PodSpec, services: Iterable[Service]) -> dict[str, str]:
    """Variables for the API's Service, and for those of the pod's namespace unless it wants none."""
    found: dict[str, str] = {}
    for service in services:
        local = pod.service_links and service.namespace == pod.namespace
        if service.cluster_ips and service.ports and (local or service.key == "default/kubernetes"):
            found |= _link(service)
    return found


def _link(service: Service) -> dict[str, str]:
    name = service.name.upper().replace("-", "_")
    address = service.cluster_ips[0]
    host = f"[{address}]" if address.version == 6 else str(address)
    found = {f"{name}_SERVICE_HOST": str(address), f"{name}_SERVICE_PORT": str(service.ports[0].port)}
    first = service.ports[0]
    found[f"{name}_PORT"] = f"{first.protocol.lower()}://{host}:{first.port}"
    for port in service.ports:
        if port.name:
            found[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
        prefix = f"{name}_PORT_{port.port}_{port.protocol}"
        found[prefix] = f"{port.protocol.lower()}://{host}:{port.port}"
        found |= {
            f"{prefix}_PROTO": port.protocol.lower(),
            f"{prefix}_PORT": str(port.port),
            f"{prefix}_ADDR": str(address),
        }
    return found
