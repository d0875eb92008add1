"""JSON schemas of all kinds, from their types: what OpenAPI documents and `kubectl explain` are made of. Pure."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from kapi.objects.base import Object, Structure, inner
from kapi.resources import Resource

Json = dict[str, Any]

_PREFIX = "io.k8s.api."
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema_name(model: type[Structure]) -> str:
    """Give the name under which a type's schema is kept."""
    return f"{_PREFIX}{model.__module__.rpartition('.')[2]}.{model.__name__}"


def schemas(models: dict[type[Object], Resource], reference: str) -> dict[str, Json]:
    """Give the schemas of these types and all that they use, by name. `reference` is what `$ref`s begin with."""
    found: dict[str, Json] = {}
    waiting: list[type[Structure]] = list(models)
    while waiting:
        model = waiting.pop()
        name = schema_name(model)
        if name in found:
            continue
        found[name] = _schema(model, reference, waiting)
        resource = models.get(model) if issubclass(model, Object) else None
        if resource is not None:
            group = {"group": resource.group, "kind": resource.kind, "version": resource.version}
            found[name]["x-kubernetes-group-version-kind"] = [group]
    return found


def _schema(model: type[Structure], reference: str, waiting: list[type[Structure]]) -> Json:
    properties = {
        field.alias or name: _property(field, reference, waiting) for name, field in model.model_fields.items()
    }
    text = " ".join((model.__doc__ or "").split())
    whole = {"x-kubernetes-map-type": "atomic"} if model.atomic else {}
    return {"type": "object", "description": text, "properties": properties} | whole


def _property(field: FieldInfo, reference: str, waiting: list[type[Structure]]) -> Json:
    shape = _shape(_annotation(field), reference, waiting)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    text = {"description": field.description or ""}
    if "$ref" in shape and reference.startswith("#/components"):
        return text | {"default": {}, "allOf": [shape]} | dict(extra)
    return shape | text | dict(extra)


def _annotation(field: FieldInfo) -> Any:
    annotation: Any = field.annotation
    for mark in field.metadata:
        annotation = Annotated[annotation, mark]
    return annotation


def _shape(annotation: Any, reference: str, waiting: list[type[Structure]]) -> Json:
    kind, form = inner(annotation)
    if form == "int-or-string":
        return {"type": "string", "format": "int-or-string"}
    if form == "quantity":
        return {"type": "string"}
    if isinstance(kind, type) and issubclass(kind, Structure):
        waiting.append(kind)
        return {"$ref": f"{reference}{schema_name(kind)}"}
    if get_origin(kind) is list:
        return {"type": "array", "items": _shape(get_args(kind)[0], reference, waiting)}
    if get_origin(kind) is dict:
        value = get_args(kind)[1]
        return {"type": "object"} if value is Any else _map(value, reference, waiting)
    shape: Json = {"type": _PLAIN[kind]}
    if kind is int and not form:
        form = "int32"
    return shape | ({"format": form} if form else {})


def _map(value: Any, reference: str, waiting: list[type[Structure]]) -> Json:
    return {"type": "object", "additionalProperties": _shape(value, reference, waiting)}
