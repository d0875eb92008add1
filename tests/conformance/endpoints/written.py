"""What a controller has written, without what must differ: generated names, uids, versions, moments, and order."""

from __future__ import annotations

import json
from typing import Any

from kapi.client import Client
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS

Json = dict[str, Any]

_DIFFER = {"name", "generateName", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}
_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


async def written(client: Client, namespace: str) -> list[str]:
    """Give every slice and Endpoints object of a namespace as text that compares equal where they mean the same."""
    slices = (await client.list(ENDPOINT_SLICES, namespace)).items
    endpoints = (await client.list(ENDPOINTS, namespace)).items
    return sorted(json.dumps(_plain(one), sort_keys=True) for one in (*slices, *endpoints))


def _plain(obj: Json) -> Json:
    meta = {name: value for name, value in obj["metadata"].items() if name not in _DIFFER}
    if obj["kind"] == "Endpoints":
        meta["name"] = obj["metadata"]["name"]
    annotations = meta.pop("annotations", None) or {}
    meta["annotations"] = {name: value for name, value in annotations.items() if name != _TRIGGER}
    plain: Json = _unordered(_without_uids({**obj, "metadata": meta}))
    return plain


def _without_uids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_uids(item) for name, item in value.items() if name != "uid" and item not in ([], {}, None)
        }
    return [_without_uids(item) for item in value] if isinstance(value, list) else value


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unordered(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted((_unordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
