"""The PATCH verb: which of the four kinds of patch a request carries, and what it makes of an object."""

from __future__ import annotations

from typing import Any

from kapi.codec.bodies import BodyError, from_json, from_yaml, own
from kapi.patch import json_patch
from kapi.patch.merge import merge
from kapi.server import fields, requests, statuses
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.routes import Route
from kapi.server.state import Record, State
from kapi.server.writing import Writer
from kapi.transport import Request

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_KINDS = (JSON_PATCH, MERGE, STRATEGIC, APPLY)


async def patched(
    state: State, writer: Writer, request: Request, route: Route[Kind], options: Options
) -> tuple[Record, int, tuple[str, ...]]:
    """Carry out a patch. Gives the object, the code to answer with, and warnings."""
    del state
    media = requests.media_type(request)
    patch = _body(request, media)
    warnings: tuple[str, ...] = ()

    def change(record: Record) -> Json:
        nonlocal warnings
        obj = requests.placed(own(_apply(route.kind, media, record.object, patch)), route)
        warnings = route.kind.check(obj, options.field_validation)
        return obj

    record = await writer.change(route, change, options)
    return record, 200, warnings


def _body(request: Request, media: str) -> Any:
    if media not in _KINDS:
        raise statuses.unsupported_media_type(media, _KINDS)
    if not isinstance(request.body, bytes):
        return request.body
    try:
        return from_yaml(request.body) if media == APPLY else from_json(request.body)
    except BodyError as error:
        raise statuses.bad_request(f"error decoding patch: {error}") from error


def _apply(kind: Kind, media: str, obj: Json, patch: Any) -> Json:
    result: Any
    if media == JSON_PATCH:
        result = _json_patched(kind, obj, patch)
    elif not isinstance(patch, dict):
        raise statuses.bad_request("error decoding patch: a patch of this type is an object")
    else:
        result = merge(obj, patch)
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise statuses.bad_request("the patch leaves something that is not an object with metadata")
    return result


def _json_patched(kind: Kind, obj: Json, patch: Any) -> Any:
    try:
        return json_patch.apply(obj, patch)
    except json_patch.TestFailed as error:
        name = obj["metadata"]["name"]
        raise statuses.invalid(kind.resource, name, [fields.invalid("patch", patch, str(error))]) from error
    except json_patch.PatchError as error:
        raise statuses.bad_request(f"the patch cannot be applied: {error}") from error
