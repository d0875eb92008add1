"""Reads the volumes of a pod, and where its containers have them, from the API's JSON. Pure."""

from __future__ import annotations

import posixpath
from typing import Any

from kapi.network import Problem
from netnslab.kubelet import parts
from netnslab.kubelet.volumespec import Item, Mount, Source, SourceKind, Volume

Json = dict[str, Any]

_PROJECTED = "projected"
_EMPTY = "emptyDir"
_CLAIM = "persistentVolumeClaim"


def volume(item: Json, path: str, problems: list[Problem]) -> Volume:
    """Read one of `spec.volumes`. Raises ValueError for one without a name."""
    name = _name(parts.needed(item, "name"))
    kind = next((key for key, value in item.items() if key != "name" and value is not None), _EMPTY)
    given = parts.mapping(item.get(kind))
    mode = _mode(given.get("defaultMode"))
    if kind == _EMPTY:
        return Volume(name)
    if kind == _CLAIM:
        claim = _name(parts.needed(given, "claimName"))
        return Volume(name, claim=claim, read_only=given.get("readOnly") is True)
    if kind == _PROJECTED:
        sources = parts.each(given.get("sources"), f"{path}.{kind}.sources", _projection, problems)
        return Volume(name, sources, mode, made=True)
    if kind not in tuple(SourceKind):
        return Volume(name, unknown=kind)
    if kind == SourceKind.SECRET:  # the one kind whose name is not called so here
        given = {**given, "name": given.get("secretName")}
    return Volume(name, (_source(kind, given, f"{path}.{kind}", problems),), mode, made=True)


def mount(item: Json, _: str, __: list[Problem]) -> Mount:
    """Read one of a container's `volumeMounts`. Raises ValueError for one that leads nowhere."""
    path = parts.needed(item, "mountPath").lstrip("/")
    sub_path = parts.text(item.get("subPath")) or parts.text(item.get("subPathExpr"))
    return Mount(
        volume=parts.needed(item, "name"),
        path=posixpath.normpath(f"/{path}"),
        sub_path=_inside(sub_path) if sub_path else "",
        expand=not item.get("subPath"),
        read_only=bool(item.get("readOnly")),
    )


def _projection(item: Json, path: str, problems: list[Problem]) -> Source:
    kind = next((kind for kind in SourceKind if isinstance(item.get(kind), dict)), None)
    if kind is None:
        raise ValueError(f"it has none of {', '.join(SourceKind)}")
    return _source(kind, item[kind], f"{path}.{kind}", problems)


def _source(kind: str, given: Json, path: str, problems: list[Problem]) -> Source:
    if kind == SourceKind.TOKEN:
        token = Item("", _file(given))
        return Source(SourceKind.TOKEN, parts.text(given.get("audience")), (token,))
    read = _field if kind == SourceKind.DOWNWARD_API else _key
    items = parts.each(given.get("items"), f"{path}.items", read, problems)
    return Source(SourceKind(kind), parts.text(given.get("name")), items, optional=given.get("optional") is True)


def _key(item: Json, _: str, __: list[Problem]) -> Item:
    return Item(parts.needed(item, "key"), _file(item), _mode(item.get("mode"), None))


def _field(item: Json, _: str, __: list[Problem]) -> Item:
    """A field of the pod; of a `resourceFieldRef` nothing is known, as pods of a lab have no limits."""
    field = parts.text(parts.mapping(item.get("fieldRef")).get("fieldPath"))
    return Item(field, _file(item), _mode(item.get("mode"), None))


def _name(name: str) -> str:
    """A name that can be a folder's. Raises ValueError."""
    if "/" in name or name.startswith("."):
        raise ValueError(f"name {name!r:.80} is no name of a volume")
    return name


def _mode(value: Any, default: int | None = 0o644) -> Any:
    return value if isinstance(value, int) and 0 <= value <= 0o777 else default


def _inside(path: str) -> str:
    """A path that stays inside of the volume. Raises ValueError."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"path {path!r:.80} leads out of the volume")
    return path


def _file(item: Json) -> str:
    """The path of a file in its volume. Raises ValueError for one of the names by which the kubelet turns volumes."""
    path = _inside(parts.needed(item, "path"))
    plain = posixpath.normpath(path)
    if plain == "." or plain.startswith(".."):
        raise ValueError(f"path {path!r:.80} cannot be a file's: it is the volume itself, or begins with '..'")
    return path
