"""What can be done with each kind, as OpenAPI 3 tells it: its paths, their operations, and what these take. Pure.

kubectl needs of this, for each kind, one PATCH that tells the kind and takes `fieldValidation`; other clients are made
from it, or try the server with whatever fits it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kapi.objects import Structure
from kapi.resources import Resource
from kapi.server.kinds import Kind
from kapi.server.schemas import schema_name

Json = dict[str, Any]

_JSON = "application/json"
_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer"}
_FLAG: Json = {"type": "boolean"}
_OBJECT: Json = {"type": "object"}
_OPERATION: Json = {
    "type": "object",
    "required": ["op", "path"],
    "properties": {
        "op": {"type": "string", "enum": ["add", "remove", "replace", "move", "copy", "test"]},
        "path": _TEXT,
        "from": _TEXT,
        "value": {},
    },
}
PATCHES: dict[str, Json] = {
    "application/apply-patch+yaml": _OBJECT,
    "application/json-patch+json": {"type": "array", "items": _OPERATION},
    "application/merge-patch+json": _OBJECT,
    "application/strategic-merge-patch+json": _OBJECT,
}
_SELECTION = {"labelSelector": _TEXT, "fieldSelector": _TEXT}
_PAGES = {"limit": _NUMBER, "continue": _TEXT, "resourceVersion": _TEXT, "resourceVersionMatch": _TEXT}
_WATCH = {"watch": _FLAG, "allowWatchBookmarks": _FLAG, "sendInitialEvents": _FLAG, "timeoutSeconds": _NUMBER}
_WRITE = {"dryRun": _TEXT, "fieldManager": _TEXT, "fieldValidation": _TEXT}
_DELETE = {"dryRun": _TEXT, "gracePeriodSeconds": _NUMBER, "propagationPolicy": _TEXT}
_LOG = {"container": _TEXT, "previous": _FLAG, "tailLines": _NUMBER}


class _Form(NamedTuple):
    """One operation: its verb of HTTP, its name in the API, what it takes in the query, and whether a body comes."""

    verb: str
    action: str
    query: Json
    body: bool = False


_GET = _Form("get", "get", {})
_PUT = _Form("put", "put", _WRITE, body=True)
_PATCH = _Form("patch", "patch", _WRITE | {"force": _FLAG}, body=True)
_POST = _Form("post", "post", _WRITE, body=True)
_LIST = _Form("get", "list", _SELECTION | _PAGES | _WATCH)
_DELETE_ALL = _Form("delete", "deletecollection", _SELECTION | _DELETE)
_ON_ONE = (_GET, _PUT, _PATCH, _Form("delete", "delete", _DELETE))
_BELOW = {
    "binding": (_POST,),
    "eviction": (_POST,),
    "finalize": (_PUT,),
    "log": (_Form("get", "get", _LOG),),
    "token": (_POST,),
}


def paths_of(kind: Kind) -> Json:
    """Give the path items of a kind, by path."""
    resource = kind.resource
    inside = ("namespace",) if resource.namespaced else ()
    paths = {
        resource.path("{namespace}"): _item(resource, kind.model, (_LIST, _POST, _DELETE_ALL), inside),
        resource.path("{namespace}", "{name}"): _item(resource, kind.model, _ON_ONE, ("name", *inside)),
    }
    if inside:
        paths[resource.path()] = _item(resource, kind.model, (_LIST,), (), everywhere=True)
    for name in resource.subresources:
        forms = _BELOW.get(name, (_GET, _PUT, _PATCH))
        places = ("name", *inside)
        paths[resource.path("{namespace}", "{name}", name)] = _item(
            resource, kind.model, forms, places, subresource=name
        )
    return paths


def paths_of_review(resource: Resource, model: type[Structure]) -> Json:
    """Give the path item of a review, by its path: it can be created, and is answered with itself."""
    inside = ("namespace",) if resource.namespaced else ()
    return {resource.path("{namespace}"): _item(resource, model, (_POST,), inside)}


def _item(
    resource: Resource,
    model: type[Structure],
    forms: tuple[_Form, ...],
    places: tuple[str, ...],
    *,
    subresource: str = "",
    everywhere: bool = False,
) -> Json:
    where = "ForAllNamespaces" if everywhere else subresource.capitalize()
    item: Json = {form.verb: _operation(resource, model, form, where, subresource) for form in forms}
    named = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in places]
    return item | ({"parameters": named} if named else {})


def _operation(resource: Resource, model: type[Structure], form: _Form, where: str, subresource: str) -> Json:
    group = resource.group.partition(".")[0].capitalize() or "Core"
    plain = bool(subresource) and subresource != "status"  # a subresource has a type of its own
    schema: Json = _OBJECT if plain else {"$ref": f"#/components/schemas/{schema_name(model)}"}
    found: Json = {
        "description": f"{form.action} {resource.kind}{f', its {subresource}' if subresource else ''}",
        "operationId": f"{form.action}{group}{resource.version.capitalize()}{resource.kind}{where}",
        "x-kubernetes-action": form.action,
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "kind": resource.kind,
            "version": resource.version,
        },
        "parameters": list(_parameters(form.query)),
        "responses": {"200": {"description": "OK", "content": {_JSON: {"schema": _shown(schema, form)}}}},
    }
    if form.body:
        content = PATCHES if form.verb == "patch" else {_JSON: schema}
        found["requestBody"] = {"content": {m: {"schema": s} for m, s in content.items()}, "required": True}
    return found


def _shown(schema: Json, form: _Form) -> Json:
    """Give the type of an answer: the object, but for lists and deletions, whose answers may be of several."""
    return schema if form.action in ("get", "put", "patch", "post") else _OBJECT


def _parameters(query: Json) -> Iterator[Json]:
    for name, schema in query.items():
        yield {"name": name, "in": "query", "schema": schema}
