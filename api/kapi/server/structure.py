"""Whether an object has the shape of its kind: the types of its fields, and whether they are known at all. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from kapi.errors import StatusError
from kapi.objects.base import Structure
from kapi.resources import Resource
from kapi.server import statuses
from kapi.server.fields import FieldError, invalid
from kapi.server.options import FieldValidation

Json = dict[str, Any]

_MUST_BE = {
    "int_type": "must be an integer",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "float_type": "must be a number",
}
_UNION_ARMS = ("int", "str", "float")  # pydantic names the arm of a union that failed as a last step of the path


def check(resource: Resource, model: type[Structure], obj: Json, how: FieldValidation) -> tuple[str, ...]:
    """Refuse (400) an object whose fields have wrong types, or in Strict unknown ones; in Warn, give warnings."""
    try:
        value = model.model_validate(obj)
    except ValidationError as error:
        raise _malformed(resource, _field_errors(error)) from None
    if how == "Ignore":
        return ()
    unknown = tuple(f'unknown field "{path}"' for path in _unknown(value, ""))
    if unknown and how == "Strict":
        raise statuses.bad_request(f"{_prefix(resource)}: strict decoding error: {', '.join(unknown)}")
    return unknown


def _prefix(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'


def _malformed(resource: Resource, errors: list[FieldError]) -> StatusError:
    listed = ", ".join(str(error) for error in errors)
    return statuses.bad_request(f"{_prefix(resource)}: {listed}", errors)


def _field_errors(error: ValidationError) -> list[FieldError]:
    found: dict[str, FieldError] = {}
    for one in error.errors(include_url=False):
        steps = one["loc"]
        if len(steps) > 1 and steps[-1] in _UNION_ARMS:
            steps = steps[:-1]
        path = _path(steps)
        text = "must be an integer or a string" if path in found else _MUST_BE.get(one["type"], one["msg"])
        found[path] = invalid(path, one["input"], text)
    return list(found.values())


def _path(steps: tuple[int | str, ...]) -> str:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")


def _unknown(value: Any, path: str) -> Iterator[str]:
    """Give the paths of fields that the types do not know."""
    if isinstance(value, Structure):
        for name in value.model_extra or ():
            yield f"{path}.{name}" if path else name
        fields = type(value).model_fields
        for name in value.model_fields_set:
            item = getattr(value, name, None)
            if name in fields and isinstance(item, (Structure, list)):
                alias = fields[name].alias or name
                yield from _unknown(item, f"{path}.{alias}" if path else alias)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, Structure):
                return
            yield from _unknown(item, f"{path}[{index}]")
