"""The PATCH verb: which of the four kinds of patch a request carries, and what it makes of an object."""

from __future__ import annotations

from typing import Any

from kapi.codec.bodies import BodyError, from_json, from_yaml, own
from kapi.errors import StatusError
from kapi.patch import json_patch, strategic
from kapi.patch.apply import Applied, ApplyConflict
from kapi.patch.duplicates import duplicates
from kapi.patch.merge import merge
from kapi.patch.owners import shown as shown_owners
from kapi.patch.ownership import shown
from kapi.patch.shape import Shape
from kapi.server import fields, owning, requests, statuses
from kapi.server.aliases import Alias
from kapi.server.kinds import Kind
from kapi.server.options import Options
from kapi.server.records import Record
from kapi.server.routes import Route
from kapi.server.state import State
from kapi.server.writing import Writer
from kapi.transport import Request

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_KINDS = (JSON_PATCH, MERGE, STRATEGIC, APPLY)


class Patcher:
    """Carries out patches."""

    def __init__(self, state: State, writer: Writer) -> None:
        self._state = state
        self._writer = writer

    async def patch(
        self, request: Request, route: Route[Kind], options: Options, alias: Alias
    ) -> tuple[Record, int, tuple[str, ...]]:
        """Patch an object as it is shown. Gives it, the code to answer with, and warnings."""
        if requests.media_type(request) == APPLY:
            return await self._apply(request, route, options, alias)
        patch = read(request)
        warnings: tuple[str, ...] = ()

        def change(record: Record) -> Json:
            nonlocal warnings
            before = alias.outward(_patchable(request, record))
            obj = requests.placed(own(_patched(request, before, patch, alias.kind)), alias.asked(route))
            warnings = alias.kind.check(obj, options.field_validation)
            return own(alias.inward(obj, record.object)) if alias.is_other else obj

        return await self._writer.change(route, change, options), 200, warnings

    async def _apply(
        self, request: Request, route: Route[Kind], options: Options, alias: Alias
    ) -> tuple[Record, int, tuple[str, ...]]:
        config = own(_object(read(request)))
        _refuse_duplicates(config, alias.kind)
        config = requests.placed(config, alias.asked(route))
        if not options.manager:
            error = fields.required("fieldManager", "is required for apply patch")
            raise statuses.bad_request(f"PatchOptions.meta.k8s.io is invalid: {error}", [error])
        if config["metadata"].get("managedFields"):
            raise statuses.bad_request("metadata.managedFields must be nil")
        warnings = alias.kind.check(config, options.field_validation)
        by = self._writer.owner(route, options, "Apply")
        shape, scope = Shape(route.kind.model), owning.scope_of(route.kind, route.subresource)
        if self._state.of(route.kind.resource).get(route.namespace, route.name) is None and not route.subresource:
            config["metadata"].pop("resourceVersion", None)
            applied = Applied.of(alias.applied(config, {}), by, shape, scope)
            return await self._writer.create(route, applied.config, options, applied.created()), 201, warnings

        def change(record: Record) -> Json:
            applied = Applied.of(alias.applied(config, record.object), by, shape, scope)
            try:
                obj, owners = applied.to(record.object, owning.unpacked(record.owned), force=options.force)
            except ApplyConflict as conflict:
                raise _conflict(conflict) from None
            return {**obj, "metadata": {**obj["metadata"], "managedFields": shown_owners(owners)}}

        return await self._writer.change(route, change, options, applied=True), 200, warnings


def read(request: Request) -> Any:
    """Give the patch in a request. Refuses with 400 and 415."""
    media = requests.media_type(request)
    if media not in _KINDS:
        raise statuses.unsupported_media_type(media, _KINDS)
    if not isinstance(request.body, bytes):
        return request.body
    try:
        return from_yaml(request.body) if media == APPLY else from_json(request.body)
    except BodyError as error:
        raise statuses.bad_request(f"error decoding patch: {error}") from error


def _patchable(request: Request, record: Record) -> Json:
    """Give the object that a patch is for. A JSON patch may name what is there of the fields' owners."""
    return record.shown if requests.media_type(request) == JSON_PATCH else record.object


def apply_plain(request: Request, obj: Json, patch: Any) -> Json:
    """Give something that is no stored object, such as a scale, with a patch applied."""
    return _patched(request, obj, patch, None)


def _patched(request: Request, obj: Json, patch: Any, kind: Kind | None) -> Json:
    media = requests.media_type(request)
    result: Any
    try:
        if media == JSON_PATCH:
            result = json_patch.apply(obj, _operations(patch))
        elif media == STRATEGIC:
            result = strategic.merge(obj, _object(patch), Shape(kind.model if kind else None))
        else:
            result = merge(obj, _object(patch))
    except json_patch.PatchError as error:
        if media == JSON_PATCH:
            raise statuses.unprocessable(str(error)) from error
        raise statuses.bad_request(f"the patch cannot be applied: {error}") from error
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise statuses.bad_request("the patch leaves something that is not an object with metadata")
    return result


def _object(patch: Any) -> Json:
    if not isinstance(patch, dict):
        raise statuses.bad_request("error decoding patch: a patch of this type is an object")
    return patch


def _operations(patch: Any) -> list[Any]:
    if not isinstance(patch, list):
        raise statuses.bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(patch) > json_patch.MOST_OPERATIONS:
        most = f"The allowed maximum operations in a JSON patch is {json_patch.MOST_OPERATIONS}, got {len(patch)}"
        raise statuses.too_large(most)
    return patch


def _refuse_duplicates(config: Json, kind: Kind) -> None:
    """Refuse a configuration that says two things of one item. Kubernetes words it so, in an answer 500."""
    errors = list(duplicates(config, Shape(kind.model)))
    if not errors:
        return
    meta, version = config.get("metadata") or {}, kind.resource.api_version
    version = version if "/" in version else f"/{version}"
    what = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}; {version}, Kind={kind.resource.kind}"
    told = errors[0] if len(errors) == 1 else "\n  ".join(["errors:", *errors])
    raise statuses.bad_request(f"failed to create typed patch object ({what}): {told}")


def _conflict(conflict: ApplyConflict) -> StatusError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {clash}",
            "field": shown(path),
        }
        for clash in conflict.clashes
        for path in clash.paths
    ]
    return statuses.refuse(409, "Conflict", str(conflict), causes=causes)
