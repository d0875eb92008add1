"""OpenAPI documents: version 3 as JSON, a document a group; version 2 as protobuf, for kubectl before 1.27.

kubectl checks manifests against them and explains kinds from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from kapi.codec import gnostic
from kapi.objects import Object
from kapi.resources import Resource
from kapi.server import statuses
from kapi.server.answers import Answer, Plain, Raw
from kapi.server.kinds import Kind
from kapi.server.operations import PATCHES, paths_of, paths_of_review
from kapi.server.records import encode
from kapi.server.schemas import schema_name, schemas
from kapi.transport import JSON, Request

Json = dict[str, Any]

# Clients ask for `...v2@v1.0+protobuf`, but Go cannot parse an answer of that type: the @ becomes a dot.
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_INFO = {"title": "Kubernetes", "version": "v1.33.0"}


class OpenApi:
    """The documents, made when they are first asked for. `reviews` are what can only be created."""

    def __init__(self, kinds: tuple[Kind, ...], reviews: Mapping[Resource, type[Object]]) -> None:
        self._kinds = kinds
        self._models = {kind.model: kind.resource for kind in kinds} | {m: r for r, m in reviews.items()}
        self._reviews = reviews

    def answer(self, request: Request) -> Answer:
        """Answer a request below `/openapi/`. Refuses with 404."""
        path = request.path.rstrip("/")
        if path == "/openapi/v2":
            if "protobuf" in request.accept:
                return Answer(Raw(self._v2_bytes), media_type=V2_PROTOBUF)
            return Answer(Plain(self._v2))
        if path == "/openapi/v3":
            return Answer(Plain({"paths": self._index}))
        data = self._v3.get(path.removeprefix("/openapi/v3/"))
        if data is None:
            raise statuses.no_such_path()
        return Answer(Raw(data), media_type=JSON)

    @cached_property
    def _v3(self) -> dict[str, bytes]:
        places = dict.fromkeys(_place(resource) for resource in self._models.values())
        return {place: encode(self._document(place)) for place in places}

    @cached_property
    def _index(self) -> Json:
        hashes = {place: hashlib.sha256(data).hexdigest().upper() for place, data in self._v3.items()}
        return {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"} for place, digest in hashes.items()}

    @cached_property
    def _v2(self) -> Json:
        definitions = schemas(self._models, "#/definitions/")
        paths: Json = {}
        for kind in self._kinds:
            path = kind.resource.path("{namespace}", "{name}")
            paths[path] = {verb: _v2_operation(kind, verb) for verb in _VERBS}
        return {"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": definitions}

    @cached_property
    def _v2_bytes(self) -> bytes:
        return gnostic.document(self._v2)

    def _document(self, place: str) -> Json:
        models = {model: resource for model, resource in self._models.items() if _place(resource) == place}
        found = schemas(models, "#/components/schemas/")
        paths: Json = {}
        for kind in self._kinds:
            if _place(kind.resource) == place:
                paths |= paths_of(kind)
        for resource, model in self._reviews.items():
            if _place(resource) == place:
                paths |= paths_of_review(resource, model)
        return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": found}}


def _place(resource: Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


_VERBS = ("delete", "get", "patch", "put")
_QUERY = ("dryRun", "fieldManager", "fieldValidation")


def _v2_operation(kind: Kind, verb: str) -> Json:
    resource = kind.resource
    found: Json = {
        "description": f"{verb} one {resource.kind}",
        "operationId": f"{verb}{resource.group.partition('.')[0].capitalize()}{resource.version}{resource.kind}",
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "kind": resource.kind,
            "version": resource.version,
        },
        "responses": {"200": {"description": "OK", "schema": {"$ref": f"#/definitions/{schema_name(kind.model)}"}}},
    }
    if verb in ("put", "patch"):
        found["parameters"] = [{"name": name, "in": "query", "type": "string"} for name in _QUERY]
    if verb == "patch":
        found["consumes"] = list(PATCHES)
    return found
