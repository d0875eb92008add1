"""Reads the bodies of requests: their format, and whether they are what the path says."""

from __future__ import annotations

from typing import Any

from kapi.codec.bodies import BodyError, from_json, from_yaml, own
from kapi.codec.protobuf import MEDIA_TYPE as PROTOBUF
from kapi.codec.protobuf import decode as from_protobuf
from kapi.server import statuses
from kapi.server.kinds import Kind
from kapi.server.routes import Route
from kapi.transport import JSON, Request

Json = dict[str, Any]

_YAML = "application/yaml"
_ACCEPTED = (JSON, _YAML, PROTOBUF)


def media_type(request: Request) -> str:
    """Give the body's media type, without parameters."""
    return request.content_type.partition(";")[0].strip().lower()


def parsed(request: Request) -> Any:
    """Give the body as JSON values, which are ours. Refuses with 400 and 415."""
    try:
        return own(_parsed(request))
    except BodyError as error:
        raise statuses.bad_request(str(error)) from error


def _parsed(request: Request) -> Any:
    body = request.body
    if not isinstance(body, bytes):
        return body
    match media_type(request):
        case "application/json" | "":
            return from_json(body)
        case "application/yaml":
            return from_yaml(body)
        case "application/vnd.kubernetes.protobuf":
            return from_protobuf(body)
    raise statuses.unsupported_media_type(media_type(request), _ACCEPTED)


def check_list(value: Any, path: str) -> None:
    """Refuse (400) what is not a list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise statuses.bad_request(f"{path}: Invalid value: must be a list of strings")


def options_body(request: Request) -> Json | None:
    """Give the body of a deletion, if it has one."""
    if request.body in (None, b""):
        return None
    body = parsed(request)
    if not isinstance(body, dict):
        raise statuses.bad_request("DeleteOptions must be an object")
    return body


def whole_object(request: Request, route: Route[Kind]) -> Json:
    """Give the object in a body, checked against the path, with kind, version and metadata in place."""
    obj = parsed(request)
    if not isinstance(obj, dict):
        raise statuses.bad_request("the body of the request is not an object")
    return placed(obj, route)


def placed(obj: Json, route: Route[Kind]) -> Json:
    """Give an object its kind, version and namespace from the path; refuse one that belongs elsewhere."""
    resource = route.kind.resource
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}} | obj
    if obj["apiVersion"] != resource.api_version:
        raise statuses.bad_request(
            f"the API version in the data ({obj['apiVersion']}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if obj["kind"] != resource.kind:
        raise statuses.bad_request(
            f'{obj["kind"]} in version "{obj["apiVersion"]}" cannot be handled as a {resource.kind}'
        )
    meta = obj["metadata"]
    if not isinstance(meta, dict):
        raise statuses.bad_request("metadata: Invalid value: must be an object")
    if not resource.namespaced:
        meta.pop("namespace", None)
    elif meta.setdefault("namespace", route.namespace) != route.namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if route.name and meta.setdefault("name", route.name) != route.name:
        raise statuses.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({route.name})"
        )
    return obj
