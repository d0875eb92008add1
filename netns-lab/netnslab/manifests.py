"""Reads manifests and applies them, as `kubectl apply` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kapi.client import Client
from kapi.errors import AlreadyExists, ApiError
from kapi.resources import RESOURCES, Resource
from netnslab.errors import InvalidManifest

Json = dict[str, Any]

_BY_KIND: dict[tuple[str, str], Resource] = {(one.api_version, one.kind): one for one in RESOURCES}


def read(text: str, name: str) -> Iterator[Json]:
    """The objects of a manifest in YAML or JSON, several documents and Lists included.

    Raises LabError naming the file, and the document that is wrong.
    """
    import yaml  # noqa: PLC0415  # only `up -f` needs it, and every other verb shall start quickly

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = [document for document in yaml.load_all(text, Loader=loader) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidManifest(f"{name} is not YAML: {error}") from error
    for number, document in enumerate(documents, 1):
        yield from _objects(document, f"{name}, document {number}")


async def apply(client: Client, obj: Json) -> None:
    """Create an object, or change the one that is there. Raises InvalidManifest naming it when the API refuses."""
    resource = _BY_KIND.get((obj["apiVersion"], obj["kind"]))
    if resource is None:
        raise InvalidManifest(f"the lab's API has no {obj['kind']} of {obj['apiVersion']}")
    namespace = (obj["metadata"].get("namespace") or "default") if resource.namespaced else None
    try:
        try:
            await client.create(resource, obj, namespace)
        except AlreadyExists:
            await client.patch(resource, obj["metadata"]["name"], obj, namespace)
    except ApiError as error:
        raise InvalidManifest(f"{obj['kind']} {obj['metadata']['name']} was refused: {error}") from error


def _objects(document: Any, where: str) -> Iterator[Json]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise InvalidManifest(f"{where}: not a Kubernetes object: it needs apiVersion, kind and metadata.name")
    if document["kind"] == "List":
        for number, item in enumerate(document.get("items") or (), 1):
            yield from _objects(item, f"{where}, item {number}")
        return
    if not isinstance(document.get("metadata"), dict) or not document["metadata"].get("name"):
        raise InvalidManifest(f"{where}: {document['kind']} without metadata.name")
    yield document
