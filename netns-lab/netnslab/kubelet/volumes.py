"""What is in the volumes of a pod: files by their path, from ConfigMaps, Secrets, fields of the pod, tokens. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netnslab.kubelet import environment
from netnslab.kubelet.environment import Missing, Placement, Sources
from netnslab.kubelet.podspec import PodSpec
from netnslab.kubelet.volumespec import ROOT_CERTIFICATE, Source, SourceKind, Volume

Json = dict[str, Any]
Path = str

_CHANGING = ("metadata.labels", "metadata.annotations")  # fields of a pod, with a subscript or without
_KEY = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")  # as the API has it, of a ConfigMap and a Secret


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Given:
    """What the files of a pod's volumes are made from. `tokens` are by their audience, `authority` is a certificate."""

    pod: PodSpec
    placement: Placement
    sources: Sources
    tokens: Mapping[str, str]
    authority: str


def files(volume: Volume, given: Given) -> dict[Path, File]:
    """The files of a volume; of two with one path, the later. Raises Missing, naming the object or the key."""
    read: Mapping[SourceKind, Callable[[Source, Given], Iterator[tuple[str, bytes, int | None]]]] = {
        SourceKind.CONFIG_MAP: _from_object,
        SourceKind.SECRET: _from_object,
        SourceKind.DOWNWARD_API: _from_fields,
        SourceKind.TOKEN: _tokens,
    }
    return {
        path: File(data, volume.mode if mode is None else mode)
        for source in volume.sources
        for path, data, mode in read[source.kind](source, given)
    }


def audiences(volumes: tuple[Volume, ...]) -> set[str]:
    """Whom the tokens are for that a pod's volumes have in them; "" is the API."""
    return {source.name for volume in volumes for source in volume.sources if source.kind is SourceKind.TOKEN}


def objects(volumes: tuple[Volume, ...]) -> set[tuple[SourceKind, str]]:
    """The ConfigMaps and Secrets that a pod's volumes are made from."""
    kinds = (SourceKind.CONFIG_MAP, SourceKind.SECRET)
    return {(source.kind, source.name) for volume in volumes for source in volume.sources if source.kind in kinds}


def follow_their_pod(volumes: tuple[Volume, ...]) -> bool:
    """Whether there are labels or annotations of the pod among the files: these may change while it runs."""
    sources = (source for volume in volumes for source in volume.sources if source.kind is SourceKind.DOWNWARD_API)
    return any(item.key.startswith(_CHANGING) for source in sources for item in source.items)


def _from_object(source: Source, given: Given) -> Iterator[tuple[str, bytes, int | None]]:
    name = f"{given.pod.namespace}/{source.name}"
    kind = "configmap" if source.kind is SourceKind.CONFIG_MAP else "secret"  # as the kubelet writes them
    obj = (given.sources.config_maps if kind == "configmap" else given.sources.secrets).get(name)
    if obj is None and source.name == ROOT_CERTIFICATE:
        obj = {"data": {"ca.crt": given.authority}}
    if obj is None:
        if not source.optional:
            raise Missing(f'{kind} "{source.name}" not found')
        return
    data = _data(kind, obj)
    if not source.items:
        yield from ((key, value, None) for key, value in data.items())
    for item in source.items:
        if item.key in data:
            yield item.path, data[item.key], item.mode
        elif not source.optional:
            raise Missing(f'{kind} "{source.name}" references non-existent key: {item.key}')


def _from_fields(source: Source, given: Given) -> Iterator[tuple[str, bytes, int | None]]:
    for item in source.items:
        value = "0"  # a limit: pods of a lab have none
        if item.key in ("metadata.labels", "metadata.annotations"):
            value = _listed(given.pod.labels if item.key == "metadata.labels" else given.pod.annotations)
        elif item.key:
            value = environment.pod_field(given.pod, item.key, given.placement)
        yield item.path, value.encode(), item.mode


def _tokens(source: Source, given: Given) -> Iterator[tuple[str, bytes, int | None]]:
    for item in source.items:
        yield item.path, given.tokens[source.name].encode(), 0o600


def _listed(values: Mapping[str, str]) -> str:
    """Labels or annotations, a line each, as the kubelet writes them."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'

    return "\n".join(f"{key}={quoted(value)}" for key, value in sorted(values.items()))


def _data(kind: str, obj: Json) -> dict[str, bytes]:
    """What an object has, by key; keys that are no names of files are left out, and what is no base64."""
    found: dict[str, bytes] = {}
    for part, encoded in (("data", kind == "secret"), ("binaryData", True)):
        values = obj.get(part)
        for key, value in values.items() if isinstance(values, dict) else ():
            try:
                if _KEY.fullmatch(key):
                    found[key] = base64.b64decode(value, validate=True) if encoded else str(value).encode()
            except (ValueError, TypeError):
                continue
    return found
